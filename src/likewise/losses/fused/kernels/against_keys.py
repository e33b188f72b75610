"""Each query's sums, the mean loss, and the gradient of queries or of keys."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import (
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
    AS_QUERY: tl.constexpr, FORM: tl.constexpr, HAS_OWN: tl.constexpr,
):  # fmt: skip
    """A tile of the targets, or of ones where ids or bags are equal; and which pairs are compared."""
    compared = (row < rows)[:, None] & (column < columns)[None, :]
    if HAS_OWN:
        if AS_QUERY:
            own_key = tl.load(own + row, mask=row < rows, other=-1)
            compared = compared & (own_key[:, None] != column[None, :])
        else:
            own_key = tl.load(own + column, mask=column < columns, other=-1)
            compared = compared & (own_key[None, :] != row[:, None])
    if FORM == "soft":
        pointers = row.to(tl.int64)[:, None] * of_row + column.to(tl.int64)[None, :] * of_column
        target = tl.load(targets + pointers, mask=compared, other=0.0).to(tl.float32)
    elif FORM == "bags":
        same_bag = (row // of_row)[:, None] == (column // of_column)[None, :]
        target = (same_bag & compared).to(tl.float32)
    else:
        row_id = tl.load(row_ids + row, mask=row < rows, other=-1)
        column_id = tl.load(column_ids + column, mask=column < columns, other=-1)
        same_id = (row_id[:, None] == column_id[None, :]) & (row_id != -1)[:, None]
        target = (same_id & compared).to(tl.float32)
    return target, compared


@triton.jit(do_not_specialize=["rows", "columns"])
def rows_kernel(
    outer, inner, targets, row_ids, column_ids, own, temperature, parts,
    rows, columns, of_row, of_column,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    AS_QUERY: tl.constexpr, FORM: tl.constexpr, HAS_OWN: tl.constexpr,
    LEARNED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Of a block of queries over a share of the keys, parts [3, splits, rows].

    These are the log-sum, the sum of the targets, and the expected score or the log-sum over the positives. Of the
    keys of bags it is the log-sum over the queries of other bags alone, [1, splits, rows].
    """
    by_log_sum: tl.constexpr = (FORM != "soft") and (FORM != "out")
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    held = load_part(outer, row, rows, 0, D, WIDTH).to(tl.float32)
    scale = LOG2E / number(temperature, LEARNED)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    top_same = top
    total_same = total
    weight = total
    expected = total
    start, end = own_share(tl.cdiv(columns, COLUMNS))
    for tile in range(start, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = load_part(inner, column, columns, 0, D, WIDTH).to(tl.float32)
        score = row_scores(
            *(outer, held, row, rows, inner, met, column, columns), D, WIDTH, ROWS, COLUMNS, PRECISION
        )  # fmt: skip
        target, compared = _targets(
            *(targets, row_ids, column_ids, own, row, rows, column, columns, of_row, of_column),
            AS_QUERY, FORM, HAS_OWN,
        )  # fmt: skip
        if not AS_QUERY:
            compared = compared & (target == 0.0)
        score = tl.where(compared, score * scale, float("-inf"))
        top, total = add_tile(top, total, score)
        if AS_QUERY:
            weight += tl.sum(target, 1)
            if by_log_sum:
                score_same = tl.where(target > 0.0, score, float("-inf"))
                top_same, total_same = add_tile(top_same, total_same, score_same)
            else:
                expected += tl.sum(tl.where(target == 0.0, 0.0, target * score), 1)
    there = row < rows
    size = rows * tl.num_programs(1)  # of each of the three parts
    source = parts + tl.program_id(1) * rows + row
    tl.store(source, top + tl.log2(total), mask=there)
    if AS_QUERY:
        near = top_same + tl.log2(total_same) if by_log_sum else expected
        tl.store(source + size, weight, mask=there)
        tl.store(source + 2 * size, near, mask=there)


@triton.jit
def _add_bags(top, total, of_keys, row, rows, splits, size, STEP: tl.constexpr = 16):
    """The log-sums of some queries with those of the keys of their bags, [splits, rows size], over all shares."""
    for split in range(0, splits):
        for first in range(0, size, STEP):
            key = first + tl.arange(0, STEP)
            there = (row < rows)[:, None] & (key < size)[None, :]
            source = of_keys + (split * rows + row)[:, None] * size + key[None, :]
            log_sum = tl.load(source, mask=there, other=float("-inf"))
            top, total = add_tile(top, total, log_sum)
    return top, total


@triton.jit
def _joined(parts, row, rows, splits, BLOCK: tl.constexpr, FORM: tl.constexpr):
    """What `rows_kernel` found of some queries over all shares; the log-sum over all keys as its top and the rest."""
    there = row < rows
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    top_same = top
    total_same = total
    weight = total
    expected = total
    size = rows * splits
    for split in range(0, splits):
        source = parts + split * rows + row
        top, total = merge(top, total, tl.load(source, mask=there, other=float("-inf")))
        weight += tl.load(source + size, mask=there, other=0.0)
        near = tl.load(source + 2 * size, mask=there, other=0.0)
        if (FORM == "soft") or (FORM == "out"):
            expected += near
        else:
            top_same, total_same = merge(top_same, total_same, near)
    if (FORM != "soft") and (FORM != "out"):
        expected = top_same + tl.log2(total_same)
    return top, total, weight, expected


@triton.jit(do_not_specialize=["rows", "columns", "splits", "key_splits"])
def mean_kernel(
    parts, of_keys, own, sums, mean, rows, columns, splits, key_splits, size,
    BLOCK: tl.constexpr, FORM: tl.constexpr, HAS_OWN: tl.constexpr, BY_ALL: tl.constexpr,
) -> None:  # fmt: skip
    """Each query's sums [3, rows], over all shares of the keys; the mean loss, and a query's weight in it.

    By ids the mean is over queries that have a positive; NaN where none can learn: each has no positive, or nothing
    else to be compared with, which for "out" may be another positive.
    """
    loss = tl.zeros([BLOCK], tl.float32)
    counted = tl.zeros([BLOCK], tl.float32)
    useful = tl.zeros([BLOCK], tl.float32)
    for start in range(0, rows, BLOCK):
        row = start + tl.arange(0, BLOCK)
        there = row < rows
        top, total, weight, near = _joined(parts, row, rows, splits, BLOCK, FORM)
        if FORM == "bags":
            top, total = _add_bags(top, total, of_keys, row, rows, key_splits, size)
        log_sum = top + tl.log2(total)
        if FORM == "soft":
            loss += tl.where(there, weight * log_sum - near, 0.0)
        else:
            valid = there & (weight > 0.0)
            positives = tl.maximum(weight, 1.0)
            attraction = near
            if FORM == "out":
                attraction = near / positives
            elif FORM == "in":
                attraction = near - tl.log2(positives)
            loss += tl.where(valid, log_sum - attraction, 0.0)
            counted += valid.to(tl.float32)
            compared = columns + tl.zeros_like(row)
            if HAS_OWN:
                own_key = tl.load(own + row, mask=there, other=-1)
                compared = columns - (own_key >= 0).to(tl.int32)
            others = compared > 1 if FORM == "out" else weight < compared.to(tl.float32)
            useful += (valid & others).to(tl.float32)
        tl.store(sums + row, log_sum, mask=there)
        tl.store(sums + rows + row, weight, mask=there)
        tl.store(sums + 2 * rows + row, near, mask=there)
    number = tl.sum(counted, 0)
    share = 1.0 / tl.maximum(number, 1.0)
    if BY_ALL or (FORM == "soft"):
        share = 1.0 / (rows + tl.zeros_like(number))
    if FORM != "soft":
        share = tl.where(tl.sum(useful, 0) > 0.0, share, float("nan"))
    tl.store(mean, tl.sum(loss, 0) * LN2 * share)
    tl.store(mean + 1, share)


@triton.jit
def _sums_of(sums, query, queries):
    """The log-sum of some queries, the sum of their targets, and the log-sum over their positives."""
    there = query < queries
    log_sum = tl.load(sums + query, mask=there, other=0.0)
    weight = tl.load(sums + queries + query, mask=there, other=0.0)
    near = tl.load(sums + 2 * queries + query, mask=there, other=0.0)
    return log_sum, weight, near


@triton.jit
def _slopes(score, target, log_sum, weight, near, FORM: tl.constexpr):
    """The derivatives of the losses of queries by their scores."""
    power = tl.exp2(score - log_sum)
    if FORM == "soft":
        slope = weight * power - target
    elif FORM == "out":  # each of a query's positives has an equal share
        slope = tl.where(weight > 0.0, power - target / tl.maximum(weight, 1.0), 0.0)
    else:
        pull = tl.where(target > 0.0, tl.exp2(score - near), 0.0)
        slope = tl.where(weight > 0.0, power - pull, 0.0)
    return slope


@triton.jit(do_not_specialize=["rows", "columns"])
def gradient_kernel(
    outer, inner, targets, row_ids, column_ids, own, temperature,
    sums, mean, upstream, gradient, by_temperature,
    rows, columns, of_row, of_column,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    AS_QUERY: tl.constexpr, FORM: tl.constexpr, HAS_OWN: tl.constexpr,
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
        log_sum, weight, near = _sums_of(sums, row, rows)
        log_sum, weight, near = log_sum[:, None], weight[:, None], near[:, None]
    elif FORM == "bags":
        of_bag = tl.load(sums + row // of_row, mask=there, other=0.0)[:, None]
    start, end = own_share(tl.cdiv(columns, COLUMNS))
    for tile in range(start, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = load_part(inner, column, columns, part, D, WIDTH).to(tl.float32)
        score = row_scores(
            *(outer, held, row, rows, inner, met, column, columns), D, WIDTH, ROWS, COLUMNS, PRECISION
        )  # fmt: skip
        score *= scale
        if not AS_QUERY:
            log_sum, weight, near = _sums_of(sums, column, columns)
            log_sum, weight, near = log_sum[None, :], weight[None, :], near[None, :]
        elif FORM == "bags":
            of_bag = tl.load(sums + column // of_column, mask=column < columns, other=0.0)[None, :]
        target, compared = _targets(
            *(targets, row_ids, column_ids, own, row, rows, column, columns, of_row, of_column),
            AS_QUERY, FORM, HAS_OWN,
        )  # fmt: skip
        slope = _slopes(score, target, log_sum, weight, near, FORM)
        if FORM == "bags":  # the score counts in the log-sum of the key's bag too
            slope += tl.where(target > 0.0, 0.0, tl.exp2(score - of_bag))
        slope = tl.where(compared, slope, 0.0)
        found = product(slope, met, found, PRECISION)
    found *= tl.load(upstream).to(tl.float32) * tl.load(mean + 1) / divisor
    share = tl.program_id(1)
    if AS_QUERY:
        along = -tl.sum(found * held, 1) / divisor
        which = share * tl.num_programs(2) + tl.program_id(2)
        tl.store(by_temperature + which * rows + row, along, mask=there)
    store_part(gradient, share.to(tl.int64) * rows + row, part, found, there, D, WIDTH)
