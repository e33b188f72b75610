"""RandAugment and Cutout on small views by a GPU's kernel: a launch for each operation of a view."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.views.fused.device import to_device
from likewise.views.fused.packing import Packed
from likewise.views.fused.views import WARPS, WHOLE, launch, tile_of
from likewise.views.image.view_params import RandAugmentParams


def serves(size: int) -> bool:
    """Whether a program can hold a view of so many pixels a side; larger ones are left to PyTorch's operations."""
    return size <= WHOLE


def operate(views: Tensor, packed: Packed, operations: RandAugmentParams) -> tuple[Tensor, Tensor]:
    """``random_ops.operate`` and ``random_ops.cut_out``: float32 [B, C, S, S], contiguous, -> views and their boxes."""
    if len(views) == 0 or operations.kind.shape[1] == 0:
        return views, packed.box
    count, channels, size, _ = views.shape
    pairs = torch.stack([operations.kind.float(), operations.amount], dim=2)
    steps = to_device(pairs, views.device).unbind(1)  # of [B, 2]
    rgb = channels == 3
    planes = 1 if rgb else channels
    rows = packed.box if packed.rows is None else packed.rows
    box, side = packed.box, tile_of(size)
    for number, step in enumerate(steps):
        new_views = torch.empty_like(views)
        new_box = torch.empty_like(box)
        launch(
            "operation_kernel",
            (count * planes, 1),
            WARPS[side],
            (views, box, step, rows, new_views, new_box),
            (packed.cutout_side, size, planes, step.stride(0), rows.stride(0)),
            SIDE=side,
            RGB=rgb,
            CUTS_OUT=packed.cutout_side > 0 and number == len(steps) - 1,
        )
        views, box = new_views, new_box
    return views, box
