"""The two passes of `within_batch` over the scores of rows with each other: their sums, and their slopes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.products import product
from likewise.losses.fused.tiling import PROGRAMS, Tiles, filled, parts_of

SAFE_SCORE = 50.0
"""In powers of two: scores from -50 to 50, shifted by the greatest, lose nothing in float32."""


WHOLE_BLOCKS = 64
"""A multiple of the rows of every program, which must find the scores of all of its rows."""


def scores_of(unit: Tensor, own: int) -> Tensor | None:
    """The scores of the first ``own`` rows, and of those that fill a block, [., N]; None where they are made again."""
    count = len(unit)
    if not gpu_sizes.keeps_scores(*unit.shape):
        return None
    first = min(blocks(own, WHOLE_BLOCKS) * WHOLE_BLOCKS, count)
    return product(unit[:first], unit.T)


def sums_of_rows(
    unit: Tensor,
    kept: Tensor | None,
    labels: Tensor,
    own: int,
    most: int,
    bound: float,
    kind: dict[str, Any],
) -> Tensor:
    """The parts [4, splits, N] that `rows_kernel` makes of the first ``own`` rows.

    Args:
        unit: all rows [N, D].
        kept: what `scores_of` gives.
        labels: their ids.
        own: rows of this rank.
        most: rows of the rank with most of them, by which all ranks cut alike.
        bound: no score is greater.
        kind: the kernel's constants.
    """
    held, _ = parts_of(unit.shape[1])
    tiles = filled(_forward_tiles(*unit.shape), unit[:most, :held], unit, PROGRAMS)
    parts = unit.new_empty(4, tiles.splits or 1, len(unit))
    rows_kernel = kernels("losses.fused.kernels.within_batch").rows_kernel
    rows_kernel[(blocks(own, tiles.rows), parts.shape[1])](
        *(unit, kept, labels, parts, len(unit), bound),
        **kind,
        KEPT=kept is not None,
        WIDTH=held,
        ROWS=tiles.rows,
        COLUMNS=tiles.columns,
        BOUNDED=bound < SAFE_SCORE,
        num_warps=tiles.warps,
        num_stages=tiles.stages,
    )
    return parts


def slopes_of_rows(
    unit: Tensor,
    kept: Tensor | None,
    labels: Tensor,
    sums: Tensor,
    own: int,
    kind: dict[str, Any],
) -> Tensor:
    """The parts [splits, N, D] of the gradient of the first ``own`` rows: by `slopes_kernel`, or from its slopes."""
    held, shared = (16, 1) if kept is not None else parts_of(unit.shape[1])
    tiles = filled(_backward_tiles(*unit.shape), unit[:own], unit, PROGRAMS, parts=shared)
    splits = tiles.splits or 1
    results = unit.new_empty(splits, *unit.shape) if kept is None else torch.empty_like(kept)
    slopes_kernel = kernels("losses.fused.kernels.within_batch").slopes_kernel
    slopes_kernel[(blocks(own, tiles.rows), splits, shared)](
        *(unit, kept, labels, *sums, results, len(unit)),
        **kind,
        KEPT=kept is not None,
        WIDTH=held,
        ROWS=tiles.rows,
        COLUMNS=tiles.columns,
        num_warps=tiles.warps,
        num_stages=tiles.stages,
    )
    if kept is None:
        return results
    return product(results, unit)[None]


def _forward_tiles(count: int, width: int) -> Tiles:
    """Small blocks where there are few rows."""
    if width > 128:
        return Tiles(16, 64, 8) if count <= 2048 else Tiles(64, 64, 8)
    return Tiles(16, 64) if count <= 2048 else Tiles(64, 64)


def _backward_tiles(count: int, width: int) -> Tiles:
    """A program holds the gradient of its rows too."""
    if width > 128:
        return Tiles(16, 32, 8) if count <= 2048 else Tiles(32, 32, 8)
    return Tiles(16, 32) if count <= 2048 else Tiles(32, 32)
