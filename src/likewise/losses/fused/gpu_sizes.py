"""Up to which sizes a loss takes which form on a GPU: what `benchmarks/on_gpu.py` measures is written here.

One H100 took 0.099 ms for NT-Xent over 1,024 rows of 128 by kernels that make scores again, 0.057 by `torch.compile`
of the form that keeps them, and 1.49 ms by both over 8,192 (in a CUDA graph). NO GPU HAS MEASURED THE FORMS IN BETWEEN.
"""

from __future__ import annotations

BATCH_ROWS = 8192
"""Rows that `within_batch` takes; from where `gpu_tiles` takes less was not measured."""

KEPT_ROWS = {64: 1024, 128: 2048, 256: 2048, 2048: 4096}
"""By the most columns D: rows up to which `within_batch` keeps the matrix of scores, 8 bytes a pair with what is made
of it; the wider the rows, the more it costs to make them again."""

CLIP_PAIRS = 4096
"""Pairs that `clip_pairs` takes; from where `gpu_tiles` takes less was not measured."""

CACR_ROWS = 8192
"""Rows of all views that `cacr_terms` takes, which keeps 8 bytes a pair of them."""

SOFT_TARGETS = 2**26
"""Queries times keys that `against_keys` takes."""

WHOLE_PAIRS = 2**24
"""Queries times keys up to which each rank makes all of a loss by `against_keys`, rather than its part of the rows by
PyTorch's operations, which are some ninety launches; NO GPU HAS MEASURED IT."""

KEPT_PAIRS = 2**26
"""Queries times keys up to which `one_matrix` keeps all scores of rows that `gpu_tiles` does not take: 8,192
squared, 0.27 GB a matrix. Beyond, `row_blocks` holds as much at a time; NO GPU HAS MEASURED OTHERS."""

BOTH_WAYS_COLUMNS = 256
"""Columns from which on large batches of pairs are PyTorch's products even where `gpu_tiles` takes them: 8 N² D
operations and 26 bytes a score of memory instead of 20 N² D. By arithmetic for an H100; NO GPU HAS MEASURED IT."""

TRIANGLE_ROWS = (8192, 131072)
"""Rows from and up to which `gpu_tiles` takes each score of rows with each other once in its forward. By arithmetic
half of the scores of 8,192 rows of 128 take an H100 0.025 ms, and one more launch 0.005; NO GPU HAS MEASURED IT. The
upper end bounds memory: for a moment rows squared / 128 numbers, 0.13 GB at 65,536 rows, and twice that with labels."""


def keeps_scores(rows: int, width: int) -> bool:
    """Whether scores of rows [N, D] with each other are kept rather than made again."""
    for most, up_to in KEPT_ROWS.items():
        if width <= most:
            return rows <= up_to
    return False


def by_triangle(rows: int) -> bool:
    """Whether log-sums of so many rows with each other are made from half of their scores."""
    least, most = TRIANGLE_ROWS
    return least <= rows <= most
