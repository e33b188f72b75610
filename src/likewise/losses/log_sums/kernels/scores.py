"""What is made of a matrix of scores that PyTorch has multiplied.

Each reads the matrix once, and writes no other of its size but the slopes. Exponentials are base 2.
"""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import LN2, LOG2E, add_tile


@triton.jit
def _load(scores, row, rows, stride, column, columns, step) -> tl.tensor:
    """A tile in powers of two, -inf beyond the edges."""
    there = (row < rows)[:, None] & (column < columns)[None, :]
    pointers = scores + row.to(tl.int64)[:, None] * stride + column.to(tl.int64)[None, :] * step
    return tl.load(pointers, mask=there, other=float("-inf")) * LOG2E


@triton.jit
def _natural(top, total) -> tl.tensor:
    return tl.where(total == 0.0, float("-inf"), (top + tl.log2(total)) * LN2)


@triton.jit(do_not_specialize=["rows", "first"])
def log_sums_kernel(
    scores, own, query_id, key_id, all_logsumexp, same, first, rows, stride, columns, step,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, HAS_OWN: tl.constexpr, HAS_IDS: tl.constexpr,
) -> None:  # fmt: skip
    """Log-sums of rows, from the first that counts on, over all columns but their own, and over those of their id.

    The strides say how far one row, and one column, is from the next: turned round, columns are the rows.
    """
    place = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    row = first + place
    there = row < rows
    own_key = tl.load(own + row, mask=there, other=-1) if HAS_OWN else row
    id_here = tl.load(query_id + row, mask=there, other=0) if HAS_IDS else row
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    top_same = top
    total_same = total
    for start in range(0, columns, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        score = _load(scores, row, rows, stride, column, columns, step)
        if HAS_OWN:
            score = tl.where(own_key[:, None] == column[None, :], float("-inf"), score)
        top, total = add_tile(top, total, score)
        if HAS_IDS:
            id_of_key = tl.load(key_id + column, mask=column < columns, other=0)
            score = tl.where(id_here[:, None] == id_of_key[None, :], score, float("-inf"))
            top_same, total_same = add_tile(top_same, total_same, score)
    tl.store(all_logsumexp + place, _natural(top, total), mask=there)
    if HAS_IDS:
        tl.store(same + place, _natural(top_same, total_same), mask=there)


@triton.jit
def _share(
    score, is_positive, numbers, stride, at, there, AXIS: tl.constexpr, HAS_IDS: tl.constexpr
):
    """The derivative by each score of one role's log-sums: weight * 2**(score - log-sum), for both sums.

    Numbers [4, .] are the weights and log-sums over all, and those over the positives.
    """
    weight = tl.expand_dims(tl.load(numbers + at, mask=there, other=0.0), AXIS)
    log_sum = tl.expand_dims(tl.load(numbers + stride + at, mask=there, other=0.0), AXIS)
    found = weight * tl.exp2(score - log_sum * LOG2E)
    if HAS_IDS:
        weight = tl.expand_dims(tl.load(numbers + 2 * stride + at, mask=there, other=0.0), AXIS)
        log_sum = tl.expand_dims(tl.load(numbers + 3 * stride + at, mask=there, other=0.0), AXIS)
        found += tl.where(is_positive, weight * tl.exp2(score - log_sum * LOG2E), 0.0)
    return found


@triton.jit(do_not_specialize=["rows"])
def slopes_kernel(
    scores, own, query_id, key_id, of_queries, of_keys, slopes, rows, columns,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    HAS_OWN: tl.constexpr, HAS_IDS: tl.constexpr, AS_KEY: tl.constexpr,
) -> None:  # fmt: skip
    """The derivative of a loss by each score, of the rows as queries, and of the columns as queries of these rows."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_rows = row < rows
    in_columns = column < columns
    score = _load(scores, row, rows, columns, column, columns, 1)
    is_positive = row[:, None] == column[None, :]
    if HAS_IDS:
        id_of_row = tl.load(query_id + row, mask=in_rows, other=0)
        id_of_column = tl.load(key_id + column, mask=in_columns, other=0)
        is_positive = id_of_row[:, None] == id_of_column[None, :]
    slope = _share(score, is_positive, of_queries, rows, row, in_rows, 1, HAS_IDS)
    if AS_KEY:
        slope += _share(score, is_positive, of_keys, columns, column, in_columns, 0, HAS_IDS)
    if HAS_OWN:
        own_key = tl.load(own + row, mask=in_rows, other=-1)
        slope = tl.where(own_key[:, None] == column[None, :], 0.0, slope)
    pointers = slopes + row.to(tl.int64)[:, None] * columns + column[None, :]
    there = in_rows[:, None] & in_columns[None, :]
    tl.store(pointers, slope.to(slopes.dtype.element_ty), mask=there)
