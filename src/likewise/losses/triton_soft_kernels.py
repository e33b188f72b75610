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
def _targets(
    targets, row_ids, column_ids, own, row, rows, column, columns, of_row, of_column,
    AS_QUERY: tl.constexpr, BY_ID: tl.constexpr, HAS_OWN: tl.constexpr,
):  # fmt: skip
    """A tile of the targets, or of ones where ids are equal; and which pairs are compared."""
    compared = (row < rows)[:, None] & (column < columns)[None, :]
    if HAS_OWN:
        if AS_QUERY:
            own_key = tl.load(own + row, mask=row < rows, other=-1)
            compared = compared & (own_key[:, None] != column[None, :])
        else:
            own_key = tl.load(own + column, mask=column < columns, other=-1)
            compared = compared & (own_key[None, :] != row[:, None])
    if BY_ID:
        row_id = tl.load(row_ids + row, mask=row < rows, other=-1)
        column_id = tl.load(column_ids + column, mask=column < columns, other=-1)
        same_id = (row_id[:, None] == column_id[None, :]) & (row_id != -1)[:, None]
        target = (same_id & compared).to(tl.float32)
    else:
        pointers = row.to(tl.int64)[:, None] * of_row + column.to(tl.int64)[None, :] * of_column
        target = tl.load(targets + pointers, mask=compared, other=0.0).to(tl.float32)
    return target, compared


@triton.jit(do_not_specialize=["rows", "columns"])
def rows_kernel(
    queries, keys, targets, row_ids, column_ids, own, temperature, parts,
    rows, columns, of_row, of_column,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    BY_ID: tl.constexpr, HAS_OWN: tl.constexpr,
    LEARNED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Of a block of queries over a share of the keys, parts [3, splits, rows].

    These are the log-sum, the sum of the targets, and the expected score.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    held = load_part(queries, row, rows, 0, D, WIDTH).to(tl.float32)
    scale = LOG2E / number(temperature, LEARNED)
    top = tl.full([ROWS], float("-inf"), tl.float32)
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
        target, compared = _targets(
            *(targets, row_ids, column_ids, own, row, rows, column, columns, of_row, of_column),
            True, BY_ID, HAS_OWN,
        )  # fmt: skip
        score = tl.where(compared, score * scale, float("-inf"))
        top, total = add_tile(top, total, score)
        weight += tl.sum(target, 1)
        expected += tl.sum(tl.where(target == 0.0, 0.0, target * score), 1)
    there = row < rows
    size = rows * tl.num_programs(1)  # of each of the three parts
    source = parts + tl.program_id(1) * rows + row
    tl.store(source, top + tl.log2(total), mask=there)
    tl.store(source + size, weight, mask=there)
    tl.store(source + 2 * size, expected, mask=there)


@triton.jit(do_not_specialize=["rows", "columns", "splits"])
def mean_kernel(
    parts, own, logsumexp, weights, mean, rows, columns, splits,
    BLOCK: tl.constexpr, BY_ID: tl.constexpr, HAS_OWN: tl.constexpr, BY_ALL: tl.constexpr,
) -> None:  # fmt: skip
    """Each query's log-sum and sum of targets, over all shares of the keys; the mean loss, and a query's weight in it.

    By ids the mean is over queries that have a positive; NaN where none has one, or nothing else to be compared with.
    """
    loss = tl.zeros([BLOCK], tl.float32)
    counted = tl.zeros([BLOCK], tl.float32)
    useful = tl.zeros([BLOCK], tl.float32)
    size = rows * splits
    for start in range(0, rows, BLOCK):
        row = start + tl.arange(0, BLOCK)
        there = row < rows
        top = tl.full([BLOCK], float("-inf"), tl.float32)
        total = tl.zeros([BLOCK], tl.float32)
        weight = tl.zeros([BLOCK], tl.float32)
        expected = tl.zeros([BLOCK], tl.float32)
        for split in range(0, splits):
            source = parts + split * rows + row
            top, total = merge(top, total, tl.load(source, mask=there, other=float("-inf")))
            weight += tl.load(source + size, mask=there, other=0.0)
            expected += tl.load(source + 2 * size, mask=there, other=0.0)
        log_sum = top + tl.log2(total)
        if BY_ID:
            valid = there & (weight > 0.0)
            loss += tl.where(valid, log_sum - expected / tl.maximum(weight, 1.0), 0.0)
            counted += valid.to(tl.float32)
            compared = columns
            if HAS_OWN:
                own_key = tl.load(own + row, mask=there, other=-1)
                compared = columns - (own_key >= 0).to(tl.int32)
            useful += (valid & (compared > 1)).to(tl.float32)
        else:
            loss += tl.where(there, weight * log_sum - expected, 0.0)
        tl.store(logsumexp + row, log_sum, mask=there)
        tl.store(weights + row, weight, mask=there)
    number = tl.sum(counted, 0)
    share = 1.0 / tl.maximum(number, 1.0)
    if BY_ALL or not BY_ID:
        share = 1.0 / (rows + tl.zeros_like(number))
    if BY_ID:
        share = tl.where(tl.sum(useful, 0) > 0.0, share, float("nan"))
    tl.store(mean, tl.sum(loss, 0) * LN2 * share)
    tl.store(mean + 1, share)


@triton.jit(do_not_specialize=["rows", "columns"])
def gradient_kernel(
    outer, inner, targets, row_ids, column_ids, own, temperature,
    logsumexp, weights, mean, upstream, gradient, by_temperature,
    rows, columns, of_row, of_column,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    AS_QUERY: tl.constexpr, BY_ID: tl.constexpr, HAS_OWN: tl.constexpr,
    LEARNED: tl.constexpr, PRECISION: tl.constexpr,
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
        target, compared = _targets(
            *(targets, row_ids, column_ids, own, row, rows, column, columns, of_row, of_column),
            AS_QUERY, BY_ID, HAS_OWN,
        )  # fmt: skip
        power = tl.exp2(score * scale - log_sum)
        if BY_ID:  # each of a query's positives has an equal share
            slope = tl.where(weight > 0.0, power - target / tl.maximum(weight, 1.0), 0.0)
        else:
            slope = weight * power - target
        slope = tl.where(compared, slope, 0.0)
        found = product(slope, met, found, PRECISION)
    found *= tl.load(upstream).to(tl.float32) * tl.load(mean + 1) / divisor
    share = tl.program_id(1)
    if AS_QUERY:
        along = -tl.sum(found * held, 1) / divisor
        which = share * tl.num_programs(2) + tl.program_id(2)
        tl.store(by_temperature + which * rows + row, along, mask=there)
    store_part(gradient, share.to(tl.int64) * rows + row, part, found, there, D, WIDTH)
