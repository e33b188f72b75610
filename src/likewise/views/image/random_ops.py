"""RandAugment and Cutout: random operations on finished views, and a square that hides a part of them.

Cubuk et al. 2020, https://arxiv.org/abs/1909.13719, and DeVries & Taylor 2017, https://arxiv.org/abs/1708.04552, with
the operations and the greatest strengths of the CoMatch authors' code, https://github.com/salesforce/CoMatch. What a
geometric operation or the square leaves empty is grey.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from likewise.randomness import BatchRNG
from likewise.views.image import colour, tone
from likewise.views.image.view_params import RandAugmentParams

GREY = 0.5
"""Of what is left empty."""


Lines = tuple[tuple[Tensor | float, Tensor | float, Tensor | float], ...]
"""The two lines of affine maps: each entry [B], or the same for all."""


class Operation(NamedTuple):
    """A change of tone or colour, or a move of the pixels; neither does nothing."""

    amount: Callable[[Tensor, Tensor], Tensor]
    """its parameter [B] from a strength [B] in [0, 1] and a sign [B]"""
    change: Callable[[Tensor, Tensor], Tensor] | None = None
    """images [B, C, S, S] and amounts [B] -> images"""
    move: Callable[[Tensor], Lines] | None = None
    """amounts [B] -> the affine maps from the new [-1, 1] plane to the old one"""


def _none(strength: Tensor, sign: Tensor) -> Tensor:
    return torch.zeros_like(strength)


def _factor(strength: Tensor, sign: Tensor) -> Tensor:
    return 0.1 + 1.8 * strength


def _up_to(greatest: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda strength, sign: greatest * strength * sign


UNMOVED_ACROSS = (1.0, 0.0, 0.0)
UNMOVED_DOWN = (0.0, 1.0, 0.0)
"""The two lines of a map that moves nothing."""


def _rotation(radians: Tensor) -> Lines:
    across = (radians.cos(), -radians.sin(), 0.0)
    down = (radians.sin(), radians.cos(), 0.0)
    return across, down


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(_none),
    "autocontrast": Operation(_none, lambda images, _: tone.autocontrast(images)),
    "equalize": Operation(_none, lambda images, _: tone.equalize(images)),
    "brightness": Operation(_factor, colour.brighten),
    "colour": Operation(_factor, colour.saturate),
    "contrast": Operation(_factor, colour.contrast),
    "sharpness": Operation(_factor, tone.sharpen),
    # From 7 bits to 4, and from all values inverted to none.
    "posterize": Operation(lambda strength, sign: (8 - 4 * strength).floor(), tone.posterize),
    "solarize": Operation(lambda strength, sign: strength * (256 / 255), colour.solarize),
    "rotate": Operation(_up_to(math.radians(30)), move=_rotation),
    # Lines slide along a fixed one at the edge, as Pillow has it.
    "shear x": Operation(_up_to(0.3), move=lambda slope: ((1.0, slope, slope), UNMOVED_DOWN)),
    "shear y": Operation(_up_to(0.3), move=lambda slope: (UNMOVED_ACROSS, (slope, 1.0, slope))),
    "translate x": Operation(
        _up_to(10 / 32), move=lambda share: ((1.0, 0.0, 2 * share), UNMOVED_DOWN)
    ),
    "translate y": Operation(
        _up_to(10 / 32), move=lambda share: (UNMOVED_ACROSS, (0.0, 1.0, 2 * share))
    ),
}
"""By name, in the order in which `RandAugmentParams.kind` counts them."""

MOVES = {
    index: operation.move for index, operation in enumerate(OPERATIONS.values()) if operation.move
}
"""The geometric operations, by their position."""


def random_operations(
    rng: BatchRNG, count: int, chance: float, strength: tuple[float, float]
) -> RandAugmentParams:
    """``count`` operations a row, drawn with repeats, each made with the given chance at a strength in the range."""
    kind = rng.uniform(0, len(OPERATIONS), columns=count).long()
    strengths = rng.uniform(*strength, columns=count)
    signs = rng.uniform(-1, 1, columns=count).sign()
    left_out = rng.uniform(columns=count) >= chance
    amount = torch.zeros_like(strengths)
    for index, operation in enumerate(OPERATIONS.values()):
        amount = torch.where(kind == index, operation.amount(strengths, signs), amount)
    return RandAugmentParams(kind.masked_fill(left_out, 0), amount)


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
