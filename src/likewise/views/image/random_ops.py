"""RandAugment and Cutout: random operations on finished views, and a square that hides a part of them.

Cubuk et al. 2020, https://arxiv.org/abs/1909.13719, and DeVries & Taylor 2017, https://arxiv.org/abs/1708.04552, with
the operations and the greatest strengths of the CoMatch authors' code, https://github.com/salesforce/CoMatch. What a
geometric operation or the square leaves empty is grey.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from likewise.randomness import Uniform
from likewise.views.image import colour, tone
from likewise.views.image.view_params import RandAugmentParams

GREY = 0.5
"""Of what is left empty."""


Lines = tuple[tuple[Tensor | float, Tensor | float, Tensor | float], ...]
"""The two lines of affine maps: each entry [B], or the same for all."""


class Amount(NamedTuple):
    """An operation's parameter by its strength in [0, 1]: ``offset + slope * strength``."""

    offset: float = 0.0
    slope: float = 0.0
    signed: bool = False
    """whether a random sign is put before the slope"""
    whole: bool = False
    """whether the parameter is rounded down"""


class Operation(NamedTuple):
    """A change of tone or colour, or a move of the pixels; neither does nothing."""

    amount: Amount = Amount()
    """its parameter"""
    change: Callable[[Tensor, Tensor], Tensor] | None = None
    """images [B, C, S, S] and amounts [B] -> images"""
    move: Callable[[Tensor], Lines] | None = None
    """amounts [B] -> the affine maps from the new [-1, 1] plane to the old one"""


FACTOR = Amount(0.1, 1.8)
ANGLE = Amount(slope=math.radians(30), signed=True)
SHEAR = Amount(slope=0.3, signed=True)
SHIFT = Amount(slope=10 / 32, signed=True)

UNMOVED_ACROSS = (1.0, 0.0, 0.0)
UNMOVED_DOWN = (0.0, 1.0, 0.0)
"""The two lines of a map that moves nothing."""


def _rotation(radians: Tensor) -> Lines:
    across = (radians.cos(), -radians.sin(), 0.0)
    down = (radians.sin(), radians.cos(), 0.0)
    return across, down


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(),
    "autocontrast": Operation(change=lambda images, _: tone.autocontrast(images)),
    "equalize": Operation(change=lambda images, _: tone.equalize(images)),
    "brightness": Operation(FACTOR, colour.brighten),
    "colour": Operation(FACTOR, colour.saturate),
    "contrast": Operation(FACTOR, colour.contrast),
    "sharpness": Operation(FACTOR, tone.sharpen),
    # From 7 bits to 4, and from all values inverted to none.
    "posterize": Operation(Amount(8, -4, whole=True), tone.posterize),
    "solarize": Operation(Amount(slope=256 / 255), colour.solarize),
    "rotate": Operation(ANGLE, move=_rotation),
    # Lines slide along a fixed one at the edge, as Pillow has it.
    "shear x": Operation(SHEAR, move=lambda slope: ((1.0, slope, slope), UNMOVED_DOWN)),
    "shear y": Operation(SHEAR, move=lambda slope: (UNMOVED_ACROSS, (slope, 1.0, slope))),
    "translate x": Operation(SHIFT, move=lambda share: ((1.0, 0.0, 2 * share), UNMOVED_DOWN)),
    "translate y": Operation(SHIFT, move=lambda share: (UNMOVED_ACROSS, (0.0, 1.0, 2 * share))),
}
"""By name, in the order in which `RandAugmentParams.kind` counts them."""


@functools.cache
def amounts_on(device: torch.device) -> Tensor:
    """Float32 [operations, 4]: the fields of each `Amount`; made once, since a CUDA graph may read them."""
    with torch.inference_mode(False):
        return torch.tensor([operation.amount for operation in OPERATIONS.values()], device=device)


MOVES = {
    index: operation.move for index, operation in enumerate(OPERATIONS.values()) if operation.move
}
"""The geometric operations, by their position."""


def operation_ranges(count: int, strength: tuple[float, float]) -> list[Uniform]:
    """What is drawn for ``count`` operations a row: kinds, strengths, signs, and whether each is made."""
    return [
        Uniform(0, len(OPERATIONS), count),
        Uniform(*strength, count),
        Uniform(-1, 1, count),
        Uniform(columns=count),
    ]


def operations_of(drawn: Sequence[Tensor], chance: float) -> RandAugmentParams:
    """Operations, drawn with repeats, each made with the given chance.

    Args:
        drawn: the numbers of `operation_ranges`, [B, count] each.
        chance: that an operation is made.
    """
    kinds, strengths, signs, left_out = drawn
    kind = kinds.long()
    amount = amounts(kind, strengths, signs.sign())
    return RandAugmentParams(kind.masked_fill_(left_out >= chance, 0), amount)


def amounts(kind: Tensor, strength: Tensor, sign: Tensor) -> Tensor:
    """Parameters of operations, as many as there are kinds."""
    offset, slope, signed, whole = amounts_on(kind.device)[kind].unbind(-1)
    plain = offset + slope * strength * torch.where(signed > 0, sign, 1.0)
    return torch.where(whole > 0, plain.floor(), plain)


def operate(views: Tensor, operations: RandAugmentParams) -> Tensor:
    """Applies each row's operations in order, in place: float32 [B, C, S, S].

    Returns:
        Where the pixels came from: the affine map [B, 2, 3] from the views' [-1, 1] plane to the one before.
    """
    device = views.device
    origin = torch.eye(2, 3, device=device).repeat(len(views), 1, 1)
    steps = zip(operations.kind.unbind(1), operations.amount.unbind(1), strict=True)
    for kind, amount in steps:  # [B] each
        _change_rows(views, kind, amount)
        is_moved = torch.isin(kind, torch.tensor(list(MOVES), device=kind.device))
        rows = is_moved.nonzero()[:, 0]
        if len(rows):  # all kinds of moves in one resampling
            chosen = rows.to(device)
            maps = affine_maps(kind[rows], amount[rows]).to(device)
            views.index_copy_(0, chosen, move(views[chosen], maps))
            origin.index_copy_(0, chosen, chained(origin[chosen], maps))
    return origin


def _change_rows(views: Tensor, kind: Tensor, amount: Tensor) -> None:
    """Changes of tone and colour, in place: [B, C, S, S], int64 [B], float32 [B]."""
    for index, operation in enumerate(OPERATIONS.values()):
        rows = (kind == index).nonzero()[:, 0]
        if operation.change is not None and len(rows):
            chosen = rows.to(views.device)
            changed = operation.change(views[chosen], amount[rows].to(views.device))
            views.index_copy_(0, chosen, changed)


def affine_maps(kind: Tensor, amount: Tensor) -> Tensor:
    """The maps of geometric operations: int64 [B], float32 [B] -> [B, 2, 3]; any other gives the identity."""
    maps = torch.eye(2, 3, device=amount.device).repeat(len(kind), 1, 1)
    for index, lines_of in MOVES.items():
        rows = kind == index
        for line, entries in enumerate(lines_of(amount[rows])):
            for column, entry in enumerate(entries):
                maps[rows, line, column] = entry
    return maps


def move(images: Tensor, maps: Tensor) -> Tensor:
    """Images resampled bilinearly by maps [B, 2, 3] of the new plane to the old one; grey comes in at the edges."""
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images - GREY, grid, align_corners=False).add_(GREY)


def chained(outer: Tensor, inner: Tensor) -> Tensor:
    """The affine map [B, 2, 3] that does ``inner`` and then ``outer``."""
    line = outer[:, :, :2]
    shift = outer[:, :, 2:]
    return line @ inner + functional.pad(shift, (2, 0))


def cut_out(views: Tensor, centre: Tensor, side: float) -> None:
    """Makes a square grey in place: ``side`` is its share of the view's, [B, 2] its centre (across, down) in [0, 1].

    Only the part inside the view, so that one at a corner hides a quarter.
    """
    size = views.shape[-1]
    pixel_centre = (torch.arange(size, device=views.device) + 0.5) / size  # [S]
    from_edge = pixel_centre - centre.to(views.device)[:, :, None] + side / 2  # [B, 2, S]
    hidden = from_edge.div_(side).floor_() == 0  # [B, 2, S]
    square = hidden[:, 1, :, None] & hidden[:, 0, None, :]  # [B, S, S]
    views.masked_fill_(square[:, None], GREY)
