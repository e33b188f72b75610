"""Rows' softmax over a queue, and what the losses make of it."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import (
    LN2,
    LOG2E,
    add_rows,
    load_part,
    load_rows,
    number,
    own_share,
    product,
    scores,
    store_part,
    store_rows,
)


@triton.jit
def _queries(queries, teachers, side, row, rows, first, D: tl.constexpr, WIDTH: tl.constexpr):
    """Rows of one side, from a column on."""
    of_queries = rows * (1 - side)  # nothing is loaded beyond it
    found = load_part(queries, row, of_queries, first, D, WIDTH).to(tl.float32)
    return found + load_part(teachers, row, rows * side, first, D, WIDTH).to(tl.float32)


@triton.jit
def _scores(
    queries, teachers, side, row, rows, keys, column, columns, held, key,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
    NARROW: tl.constexpr = 128, STEP: tl.constexpr = 64,
):  # fmt: skip
    """Inner products of rows of one side with some keys; as `row_scores`, which has one side."""
    if D <= NARROW:
        return scores(held, key, ROWS, COLUMNS, PRECISION)
    else:
        found = tl.zeros([ROWS, COLUMNS], tl.float32)
        for first in range(0, D, STEP):
            of_row = _queries(queries, teachers, side, row, rows, first, D, STEP)
            of_key = load_part(keys, column, columns, first, D, STEP).to(tl.float32)
            found = product(of_row, tl.trans(of_key), found, PRECISION)
        return found


@triton.jit(do_not_specialize=["rows", "columns"])
def softmax_kernel(
    queries, teachers, keys, temperature, teacher_temperature, logsumexp, mean_key, rows, columns,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    LEARNED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Log-sum [sides, splits, rows] and mean key [sides, splits, rows, D] of a block of rows over a share of the keys.

    The second side are the teacher's rows. Where WIDTH does not hold D, a program makes that part of the mean key.
    """
    parts: tl.constexpr = (D + WIDTH - 1) // WIDTH
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    side = tl.program_id(2) // parts
    part = tl.program_id(2) % parts * WIDTH
    held = _queries(queries, teachers, side, row, rows, part, D, WIDTH)
    divisor = tl.where(side == 0, number(temperature, LEARNED), teacher_temperature)
    scale = LOG2E / divisor
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    found = tl.zeros([ROWS, WIDTH], tl.float32)
    start, end = own_share(tl.cdiv(columns, COLUMNS))
    for tile in range(start, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        key = load_part(keys, column, columns, part, D, WIDTH).to(tl.float32)
        score = _scores(
            *(queries, teachers, side, row, rows, keys, column, columns, held, key),
            D, WIDTH, ROWS, COLUMNS, PRECISION,
        )  # fmt: skip
        # The first of a tile is always there.
        score = tl.where((column < columns)[None, :], score * scale, float("-inf"))
        top, total, found = add_rows(top, total, found, score, key, PRECISION)
    empty = total == 0.0  # a share of no tiles
    log_sum = tl.where(empty, float("-inf"), top + tl.log2(total))
    found = found / tl.where(empty, 1.0, total)[:, None]
    there = row < rows
    share = side * tl.num_programs(1) + tl.program_id(1)
    target = share.to(tl.int64) * rows + row
    tl.store(logsumexp + target, log_sum, mask=there & (part == 0))
    store_part(mean_key, target, part, found, there, D, WIDTH)


@triton.jit
def joined(
    logsumexp, mean_key, side, row, rows, splits, part, D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:  # fmt: skip
    """Log-sum and mean key, from a column on, of some rows over all shares of the keys."""
    there = row < rows
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    found = tl.zeros([ROWS, WIDTH], tl.float32)
    for split in range(0, splits):  # of which the first is never empty
        first = (side * splits + split).to(tl.int64) * rows
        log_sum = tl.load(logsumexp + first + row, mask=there, other=0.0)
        mean = load_part(mean_key + first * D, row, rows, part, D, WIDTH)
        highest = tl.maximum(top, log_sum)
        shrunk = tl.exp2(top - highest)
        weight = tl.exp2(log_sum - highest)
        total = total * shrunk + weight
        found = found * shrunk[:, None] + mean * weight[:, None]
        top = highest
    return (top + tl.log2(total)) * LN2, found / total[:, None]


@triton.jit(do_not_specialize=["rows", "splits"])
def loss_kernel(
    queries, partners, temperature, teacher_temperature, logsumexp, mean_key, loss, gradient, by_temperature,
    rows, splits,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
    DISTILS: tl.constexpr, LEARNED: tl.constexpr,
) -> None:  # fmt: skip
    """Of each row the loss, its gradient over the number of rows, and that by the temperature."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    query = load_rows(queries, row, rows, D, WIDTH, True).to(tl.float32)
    partner = load_rows(partners, row, rows, D, WIDTH, True).to(tl.float32)
    divisor = number(temperature, LEARNED)
    log_sum, mean = joined(logsumexp, mean_key, 0, row, rows, splits, 0, D, WIDTH, ROWS)
    if DISTILS:
        teacher_sum, expected = joined(logsumexp, mean_key, 1, row, rows, splits, 0, D, WIDTH, ROWS)
        cross_entropy = log_sum - tl.sum(query / divisor * expected, 1)
        entropy = teacher_sum - tl.sum(partner / teacher_temperature * expected, 1)
        found = cross_entropy - entropy
        slope = (mean - expected) / divisor
    else:
        margin = log_sum - tl.sum(query / divisor * partner, 1)
        small = tl.exp2(-tl.abs(margin) * LOG2E)
        found = tl.maximum(margin, 0.0) + tl.log2(1.0 + small) * LN2  # log(1 + e^margin)
        # The softmax's share of the queue.
        of_queue = tl.where(margin > 0.0, 1.0, small) / (1.0 + small)
        slope = (mean - partner) * (of_queue / divisor)[:, None]
    slope = slope / rows
    tl.store(loss + row, found, mask=there)
    tl.store(by_temperature + row, -tl.sum(query * slope, 1) / divisor, mask=there)
    store_rows(gradient, row, slope, there, D, WIDTH)
