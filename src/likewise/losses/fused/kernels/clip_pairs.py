"""Each row's loss, and the gradient of the rows."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import (
    LN2,
    LOG2E,
    add_tile,
    load_part,
    number,
    product,
    row_scores,
    store_part,
)


@triton.jit
def _tiles(pairs, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """First and one past the last tile of the other side; a block that has rows of both sides meets them all."""
    first_row = tl.program_id(0) * ROWS
    start = tl.where(first_row + ROWS <= pairs, pairs, 0)
    end = tl.where(first_row >= pairs, pairs, 2 * pairs)
    return start // COLUMNS, tl.cdiv(end, COLUMNS)


@triton.jit
def _scores(
    rows, held, row, met, column, pairs, scale,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Scores of a tile, which of them count, and which are of partners."""
    both = 2 * pairs
    score = row_scores(
        *(rows, held, row, both, rows, met, column, both), D, WIDTH, ROWS, COLUMNS, PRECISION
    )
    score *= scale * LOG2E
    other_side = (row < pairs)[:, None] != (column < pairs)[None, :]
    compared = other_side & (column < 2 * pairs)[None, :]
    partner = (row + pairs) % (2 * pairs)
    partners = partner[:, None] == column[None, :]
    return tl.where(compared, score, float("-inf")), compared, partners


@triton.jit(do_not_specialize=["pairs"])
def rows_kernel(
    rows, scale, logsumexp, loss, pairs, of_partner, of_other,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    LEARNED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Each row's log-sum over the other side, and its cross-entropy."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    held = load_part(rows, row, 2 * pairs, 0, D, WIDTH).to(tl.float32)
    factor = number(scale, LEARNED)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    expected = tl.zeros([ROWS], tl.float32)
    first, end = _tiles(pairs, ROWS, COLUMNS)
    for tile in range(first, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = load_part(rows, column, 2 * pairs, 0, D, WIDTH).to(tl.float32)
        score, compared, partners = _scores(
            rows, held, row, met, column, pairs, factor, D, WIDTH, ROWS, COLUMNS, PRECISION
        )
        top, total = add_tile(top, total, score)
        target = tl.where(partners, of_partner, of_other)
        expected += tl.sum(tl.where(compared, target * score, 0.0), 1)
    there = row < 2 * pairs
    log_sum = (top + tl.log2(total)) * LN2
    tl.store(logsumexp + row, log_sum, mask=there)
    tl.store(loss + row, log_sum - expected * LN2, mask=there)


@triton.jit(do_not_specialize=["pairs"])
def gradient_kernel(
    rows, scale, logsumexp, upstream, gradient, by_scale, pairs, of_partner, of_other,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    LEARNED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """The gradient of a part of the rows, and what that part adds to that of the scale, [parts, rows]."""
    part = tl.program_id(1) * WIDTH
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < 2 * pairs
    held = load_part(rows, row, 2 * pairs, part, D, WIDTH).to(tl.float32)
    factor = number(scale, LEARNED)
    sum_of_row = tl.load(logsumexp + row, mask=there, other=0.0) * LOG2E
    found = tl.zeros([ROWS, WIDTH], tl.float32)
    first, end = _tiles(pairs, ROWS, COLUMNS)
    for tile in range(first, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = load_part(rows, column, 2 * pairs, part, D, WIDTH).to(tl.float32)
        score, compared, partners = _scores(
            rows, held, row, met, column, pairs, factor, D, WIDTH, ROWS, COLUMNS, PRECISION
        )
        sum_of_column = tl.load(logsumexp + column, mask=column < 2 * pairs, other=0.0) * LOG2E
        # A score is one of both its rows: its softmax among those of each is added.
        slope = tl.exp2(score - sum_of_row[:, None])
        slope += tl.exp2(score - sum_of_column[None, :])
        slope -= 2.0 * tl.where(partners, of_partner, of_other)
        slope = tl.where(compared, slope, 0.0)
        found = product(slope, met, found, PRECISION)
    found *= tl.load(upstream).to(tl.float32) / (2.0 * pairs)
    by_scale_of_row = tl.sum(found * held, 1) * 0.5  # each score is met by both its rows
    tl.store(by_scale + tl.program_id(1) * 2 * pairs + row, by_scale_of_row, mask=there)
    store_part(gradient, row, part, found * factor, there, D, WIDTH)
