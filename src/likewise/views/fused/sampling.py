"""The parameters of views on a GPU, made there from random numbers."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.gpu_kernels import kernels
from likewise.views.fused.packing import CHANNEL_FACTORS
from likewise.views.image.colour import COLOUR_OPS
from likewise.views.image.crop import TRIES
from likewise.views.image.random_ops import amounts_on
from likewise.views.image.view_params import RandAugmentParams

BOX_LINES = 2 * TRIES + 3
"""Numbers that a box takes of each row: the parts of `BoxDraws`."""

CHANGES = len(COLOUR_OPS)

JITTER_LINE = BOX_LINES + 2 * CHANGES
"""After the factors and the numbers of their order: the chance of the jitter."""

ROWS = 32
"""Views of a program."""

PLACES = 128
"""Operations of a program."""


class BoxChances(NamedTuple):
    """How boxes are placed."""

    least_ratio: float
    """of width to height, in the file's geometry"""
    greatest_ratio: float
    flip: float
    """probability of a mirrored box"""


class ColourChances(NamedTuple):
    """Which colour augmentations there are, and how probable."""

    active: int
    """a bit for each of ``colour.COLOUR_OPS`` that has an effect"""
    jitter: float
    grey: float
    blur: float
    solarize: float


def sampled_operations(drawn: Tensor, operations: int, chance: float) -> RandAugmentParams:
    """``random_ops.operations_of`` on a GPU.

    Args:
        drawn: the numbers of ``random_ops.operation_ranges`` as `BatchRNG.lines` gives them: [4 * operations, B].
        operations: of a view.
        chance: that each is made.
    """
    device, count = drawn.device, drawn.shape[1]
    kinds = torch.empty(count, operations, dtype=torch.int64, device=device)
    amounts = torch.empty(count, operations, device=device)
    if count:
        launch = kernels("views.fused.kernels").operation_sampling_kernel[
            (math.ceil(kinds.numel() / PLACES),)
        ]
        with torch.cuda.device_of(drawn):
            launch(
                drawn,
                amounts_on(device),
                kinds,
                amounts,
                kinds.numel(),
                float(chance),
                PLACES=PLACES,
                num_warps=4,
                # as PyTorch rounds
                enable_fp_fusion=False,
            )
    return RandAugmentParams(kinds, amounts)


def sampled(
    drawn: Tensor, aspect: Tensor, box: BoxChances, colour: ColourChances | None = None
) -> tuple[Tensor, Tensor | None]:
    """Boxes float32 [B, 2, 3] on the device of the aspect, and rows of `packing` where colours are asked for.

    Args:
        drawn: the numbers of ``ViewPolicy._ranges`` as `BatchRNG.lines` gives them: [L, B] on that device. Of boxes
            alone the first `BOX_LINES` are enough.
        aspect: float [B], width / height in the file.
        box: see there.
        colour: None: boxes alone.
    """
    device, count = aspect.device, len(aspect)
    boxes = torch.empty(count, 2, 3, device=device)
    rows = None if colour is None else torch.empty(count, CHANNEL_FACTORS, device=device)
    if count:
        colours = colour or ColourChances(0, 0.0, 0.0, 0.0, 0.0)
        launch = kernels("views.fused.kernels").sampling_kernel[(math.ceil(count / ROWS),)]
        with torch.cuda.device_of(boxes):
            launch(
                drawn,
                aspect.float(),
                boxes,
                boxes if rows is None else rows,
                count,
                CHANNEL_FACTORS,
                *map(float, box),  # for an int another kernel would be compiled
                colours.active,
                *map(float, colours[1:]),
                COLOURED=colour is not None,
                ROWS=ROWS,
                num_warps=1,
            )
    return boxes, rows
