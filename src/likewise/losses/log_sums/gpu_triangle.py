"""Log-sums of rows compared with each other on a GPU, from half of their scores: s_ij is s_ji.

Each tile on or above the diagonal is made once. Its row sums belong to the log-sums of its rows, its column sums to
those of its columns. No two programs add to one number: column sums lie in a matrix [blocks, N], which a second kernel
adds up, so a call repeated gives the same bits. `gpu_tiles.forward` makes the same from all scores.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused.tiling import Tiles, filled
from likewise.losses.log_sums.launch import forward_tiles, launch

PROGRAMS = 8
"""For each processor, so that blocks are split where they are few. The first block has the most tiles and starts first:
by counting, two at a time on each of 132 processors end within 3 % of their mean at 32,768 rows and more."""

REGISTERS = 1024
"""A thread's, times its program's warps, where a processor runs two programs. With ids, the way for scores of any size
wants a third more than the usual one: for capability 9.0 the compiler then reports 80 bytes moved to memory."""

LINES = 16
"""Column sums that a program of the second kernel reads at a time."""


def forward(
    z: Tensor, ids: Tensor | None, bounded: Tensor, tiles: Tiles | None = None
) -> tuple[Tensor, Tensor | None]:
    """What `gpu_tiles.forward` returns for rows that are queries and keys, none compared with itself.

    Args:
        z: [N, D], contiguous.
        ids: int64 [N], contiguous, or None.
        bounded: int32, whether scores may be exponentiated as they are.
        tiles: how to cut, columns at most rows; chosen by dtype and D if None.
    """
    rows = len(z)
    tiles = filled(tiles or forward_tiles(z), z, z, PROGRAMS)
    splits = tiles.splits or 1
    lines = splits + blocks(rows, tiles.rows)
    parts = z.new_empty([1 if ids is None else 2, lines, rows], dtype=torch.float32)
    log_sums = parts.new_empty([len(parts), rows])
    arguments = z, ids, bounded, parts[0], parts[-1], rows
    launch(
        "triangle_kernel",
        tiles,
        z,
        arguments,
        file="losses.log_sums.kernels.triangle",
        HAS_IDS=ids is not None,
        maxnreg=min(REGISTERS // tiles.warps, 255),
    )
    with torch.cuda.device_of(z):
        joined_kernel = kernels("losses.log_sums.kernels.triangle").joined_kernel
        joined_kernel[(lines - splits, len(parts))](
            *(parts, bounded, log_sums, rows, splits, lines), ROWS=tiles.rows, LINES=LINES
        )
    return log_sums[0], None if ids is None else log_sums[1]
