"""Which form of the sums is fastest where; the numbers agree to rounding."""

from __future__ import annotations

from torch import Tensor

from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.products import as_multiplied
from likewise.losses.log_sums import (
    cached_tile,
    cpu_tiles,
    gpu_tiles,
    kernel_tiles,
    one_matrix,
    row_blocks,
)
from likewise.losses.log_sums.sums import Form, bounded
from likewise.losses.waiting import may_wait


def form_of(queries: Tensor, keys: Tensor, is_bounded: bool = False) -> Form:
    """Which file makes the sums; ``is_bounded`` says that scores are known to be."""
    pairs = len(queries) * len(keys)
    if on_cpu(queries, keys):
        small = pairs <= cached_tile.MOST_PAIRS
        return cached_tile if small and (is_bounded or bounded(queries, keys)) else cpu_tiles
    if pairs > one_matrix.MOST_PAIRS or not queries.is_cuda:
        # Whether kernels take a format needs no rows.
        no_rows = as_multiplied(queries[:0]), as_multiplied(keys[:0])
        if gpu_tiles.supports(*no_rows):
            return kernel_tiles
    return one_matrix if pairs <= gpu_sizes.KEPT_PAIRS else row_blocks


def on_cpu(queries: Tensor, keys: Tensor) -> bool:
    """Whether the forms for CPUs are to be used, which look at values: not for Triton's interpreter."""
    return may_wait(queries) and not gpu_tiles.supports(queries, keys)
