"""RandAugment and Cutout by a GPU's kernels: a launch for each operation of a view, two where the view is large."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.gpu_kernels import to_device
from likewise.views.fused.packing import Packed
from likewise.views.fused.views import WARPS, WHOLE, launch, tile_of
from likewise.views.image.tone import LEVELS
from likewise.views.image.view_params import RandAugmentParams

BLOCK = 4096
"""Pixels that a program takes in at a time where it looks at all of a larger view."""

TILE_WARPS = 8
"""Of a program that makes a tile of a larger view."""

STATISTICS_WARPS = 8
"""Of such a program."""


def operate(views: Tensor, packed: Packed, operations: RandAugmentParams) -> tuple[Tensor, Tensor]:
    """``random_ops.operate`` and ``random_ops.cut_out``: float32 [B, C, S, S], contiguous, -> views and their boxes."""
    if len(views) == 0 or operations.kind.shape[1] == 0:
        return views, packed.box
    count, channels, size, _ = views.shape
    kinds, amounts = (to_device(part.contiguous(), views.device) for part in operations)
    steps = list(zip(kinds.unbind(1), amounts.unbind(1), strict=True))  # of [B] each
    rgb = channels == 3
    planes = 1 if rgb else channels
    rows = packed.box if packed.rows is None else packed.rows
    box, side, whole = packed.box, tile_of(size), size <= WHOLE
    tiles = math.ceil(size / side)
    statistics = views  # which is not read
    if not whole:
        statistics = views.new_empty(count * channels, LEVELS)
    for number, (kind, amount) in enumerate(steps):
        if not whole:
            launch(
                "statistics_kernel",
                (count * planes, channels // planes),
                STATISTICS_WARPS,
                (views, kind, statistics),
                (size, planes, kind.stride(0)),
                BLOCK=BLOCK,
                RGB=rgb,
            )
        new_views = torch.empty_like(views)
        new_box = torch.empty_like(box)
        launch(
            "operation_kernel",
            (count * planes * tiles**2,),
            WARPS[side] if whole else TILE_WARPS,
            (views, box, kind, amount, rows, statistics, new_views, new_box),
            (packed.cutout_side, size, planes, kind.stride(0), rows.stride(0)),
            SIDE=side,
            RGB=rgb,
            CUTS_OUT=packed.cutout_side > 0 and number == len(steps) - 1,
            WHOLE=whole,
        )
        views, box = new_views, new_box
    return views, box
