"""The GPU kernels behind `fused_soft`: each query's sums, the mean loss, and the gradient of queries or of keys.

Like `triton_kernels`, only its launcher imports this file, and late.
"""

# What Triton's compiler reads is not typed Python: a tile is no Tensor, and a flag decides which names exist.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false, reportArgumentType=false, reportOperatorIssue=false
from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.triton_blocks import (
    LN2,
    LOG2E,
    NOTHING,
    add_tile,
    load_part,
    merge,
    number,
    own_share,
    product,
    row_scores,
    store_part,
)


@triton.jit
def _targets(targets, row, rows, column, columns, of_row, of_column):
    """A tile of the targets, zeros beyond the edges; the last two are its strides."""
    pointers = row.to(tl.int64)[:, None] * of_row + column.to(tl.int64)[None, :] * of_column
    there = (row < rows)[:, None] & (column < columns)[None, :]
    return tl.load(targets + pointers, mask=there, other=0.0).to(tl.float32)


@triton.jit(do_not_specialize=["rows", "columns"])
def rows_kernel(
    queries, keys, targets, temperature, parts, rows, columns, of_row, of_column,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    LEARNED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Of a block of queries over a share of the keys, parts [3, splits, rows].

    These are the log-sum, the sum of the targets, and the expected score.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    held = load_part(queries, row, rows, 0, D, WIDTH).to(tl.float32)
    scale = LOG2E / number(temperature, LEARNED)
    top = tl.full([ROWS], NOTHING, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    weight = tl.zeros([ROWS], tl.float32)
    expected = tl.zeros([ROWS], tl.float32)
    start, end = own_share(tl.cdiv(columns, COLUMNS))
    for tile in range(start, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = load_part(keys, column, columns, 0, D, WIDTH).to(tl.float32)
        score = row_scores(
            *(queries, held, row, rows, keys, met, column, columns), D, WIDTH, ROWS, COLUMNS, PRECISION
        )  # fmt: skip
        score = tl.where((column < columns)[None, :], score * scale, NOTHING)
        top, total = add_tile(top, total, score)
        target = _targets(targets, row, rows, column, columns, of_row, of_column)
        weight += tl.sum(target, 1)
        expected += tl.sum(tl.where(target == 0.0, 0.0, target * score), 1)
    there = row < rows
    size = rows * tl.num_programs(1)  # of each of the three parts
    source = parts + tl.program_id(1) * rows + row
    tl.store(source, top + tl.log2(total), mask=there)
    tl.store(source + size, weight, mask=there)
    tl.store(source + 2 * size, expected, mask=there)


@triton.jit(do_not_specialize=["rows", "splits"])
def mean_kernel(parts, logsumexp, weights, mean, rows, splits, BLOCK: tl.constexpr) -> None:
    """Each query's log-sum and sum of targets, over all shares of the keys, and the mean loss."""
    loss = tl.zeros([BLOCK], tl.float32)
    size = rows * splits
    for start in range(0, rows, BLOCK):
        row = start + tl.arange(0, BLOCK)
        there = row < rows
        top = tl.full([BLOCK], NOTHING, tl.float32)
        total = tl.zeros([BLOCK], tl.float32)
        weight = tl.zeros([BLOCK], tl.float32)
        expected = tl.zeros([BLOCK], tl.float32)
        for split in range(0, splits):
            source = parts + split * rows + row
            top, total = merge(top, total, tl.load(source, mask=there, other=NOTHING))
            weight += tl.load(source + size, mask=there, other=0.0)
            expected += tl.load(source + 2 * size, mask=there, other=0.0)
        log_sum = top + tl.log2(total)
        loss += tl.where(there, weight * log_sum - expected, 0.0)
        tl.store(logsumexp + row, log_sum, mask=there)
        tl.store(weights + row, weight, mask=there)
    tl.store(mean, tl.sum(loss, 0) * LN2 / rows)


@triton.jit(do_not_specialize=["rows", "columns"])
def gradient_kernel(
    outer, inner, targets, temperature, logsumexp, weights, upstream, gradient, by_temperature,
    rows, columns, of_row, of_column,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    AS_QUERY: tl.constexpr, LEARNED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """What a share of the inner rows adds to the gradient of a part of the outer ones, [splits, rows, D].

    The outer rows are the queries with the keys inside, or the other way round. From the queries that of the
    temperature comes too, [splits, parts, rows].
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(2) * WIDTH
    there = row < rows
    held = load_part(outer, row, rows, part, D, WIDTH).to(tl.float32)
    divisor = number(temperature, LEARNED)
    scale = LOG2E / divisor
    found = tl.zeros([ROWS, WIDTH], tl.float32)
    if AS_QUERY:
        log_sum = tl.load(logsumexp + row, mask=there, other=0.0)[:, None]
        weight = tl.load(weights + row, mask=there, other=0.0)[:, None]
    start, end = own_share(tl.cdiv(columns, COLUMNS))
    for tile in range(start, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = load_part(inner, column, columns, part, D, WIDTH).to(tl.float32)
        score = row_scores(
            *(outer, held, row, rows, inner, met, column, columns), D, WIDTH, ROWS, COLUMNS, PRECISION
        )  # fmt: skip
        if not AS_QUERY:
            log_sum = tl.load(logsumexp + column, mask=column < columns, other=0.0)[None, :]
            weight = tl.load(weights + column, mask=column < columns, other=0.0)[None, :]
        slope = weight * tl.exp2(score * scale - log_sum)
        slope -= _targets(targets, row, rows, column, columns, of_row, of_column)
        slope = tl.where((column < columns)[None, :], slope, 0.0)
        found = product(slope, met, found, PRECISION)
    queries = rows if AS_QUERY else columns
    found *= tl.load(upstream).to(tl.float32) / (queries * divisor)
    share = tl.program_id(1)
    if AS_QUERY:
        along = -tl.sum(found * held, 1) / divisor
        which = share * tl.num_programs(2) + tl.program_id(2)
        tl.store(by_temperature + which * rows + row, along, mask=there)
    store_part(gradient, share.to(tl.int64) * rows + row, part, found, there, D, WIDTH)
