"""How the kernels of log-sums are cut to a GPU, and started."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels, launch_on
from likewise.losses.fused.products import float32_products
from likewise.losses.fused.tiling import Tiles, padded

# The two tables were chosen by what fits, not by a clock: NO GPU HAS MEASURED THEM YET. Registers and shared memory are
# as the compiler reports them for capability 9.0; in half precision up to D = 128 two programs of the forward fit one
# processor, so that one's exponentials run during the other's products. `on_gpu.py --only large_losses` times others.


def forward_tiles(queries: Tensor) -> Tiles:
    """For the log-sums."""
    is_wide = padded(queries.shape[1]) > 256
    if is_wide or queries.element_size() == 4:
        return Tiles(64, 64, 4, 2)
    return Tiles(128, 64, 8, 3)


def backward_tiles(outer: Tensor) -> Tiles:
    """For the gradient of ``outer``."""
    # The gradient [rows, D] stays in registers with the tile of scores, so wide rows come in fewer.
    if outer.element_size() == 4:
        return Tiles(32, 32, 4, 2)
    is_wide = padded(outer.shape[1]) > 128
    return Tiles(64, 32, 8, 2) if is_wide else Tiles(128, 64, 8, 3)


def launch(
    name: str,
    tiles: Tiles,
    outer: Tensor,
    arguments: tuple[Any, ...],
    file: str = "losses.log_sums.kernels.tiles",
    **flags: bool | int,
) -> None:
    """Start a kernel on the device of ``outer``, one program for each block of its rows and each split."""
    launch_on(
        outer,
        getattr(kernels(file), name),
        (blocks(len(outer), tiles.rows), tiles.splits or 1),
        arguments,
        D=outer.shape[1],
        WIDTH=padded(outer.shape[1]),
        ROWS=tiles.rows,
        COLUMNS=tiles.columns,
        PRECISION=float32_products() if outer.dtype == torch.float32 else "ieee",
        num_warps=tiles.warps,
        num_stages=tiles.stages,
        enable_fp_fusion=True,
        **flags,
    )
