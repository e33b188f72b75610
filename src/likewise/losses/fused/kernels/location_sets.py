"""Of each location the loss and its gradient, from what it has of the queue."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.against_queue import joined
from likewise.losses.fused.kernels.blocks import (
    LN2,
    LOG2E,
    add_rows,
    load_part,
    number,
    product,
    row_scores,
    store_part,
)


@triton.jit
def _partners(matched, row, rows, column, columns):
    """Which columns are partners of which rows, of the matrix [rows, columns] of one image."""
    there = (row < rows)[:, None] & (column < columns)[None, :]
    pointers = matched + row[:, None] * columns + column[None, :]
    return tl.load(pointers, mask=there, other=0).to(tl.float32) != 0.0


@triton.jit
def _rows_with_a_partner(matched, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """How many rows of one image have a partner."""
    found = tl.zeros([ROWS], tl.float32)
    for first in range(0, rows, ROWS):
        row = first + tl.arange(0, ROWS)
        has_one = tl.zeros([ROWS], tl.float32)
        for start in range(0, columns, COLUMNS):
            column = start + tl.arange(0, COLUMNS)
            is_partner = _partners(matched, row, rows, column, columns)
            has_one = tl.maximum(has_one, tl.max(is_partner.to(tl.float32), 1))
        found += has_one
    return tl.sum(found, 0)


@triton.jit(do_not_specialize=["images", "rows", "columns", "splits"])
def sets_kernel(
    locations, partners, matched, temperature, logsumexp, mean_key, loss, gradient, by_temperature,
    images, rows, columns, splits,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    LEARNED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Of a block of an image's locations what they add to the loss, [images, rows], and their gradient.

    Where WIDTH does not hold D, a program makes that part of the gradient. That by the temperature is
    [parts, images, rows].
    """
    image = tl.program_id(0).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    part = tl.program_id(2) * WIDTH
    there = row < rows
    own = locations + image * rows * D
    others = partners + image * columns * D
    matched += image * rows * columns
    target = image * rows + row  # of all locations
    divisor = number(temperature, LEARNED)
    scale = LOG2E / divisor
    held = load_part(own, row, rows, part, D, WIDTH).to(tl.float32)
    # The softmax over the queue, to which the partners are added.
    log_sum, found = joined(
        logsumexp, mean_key, 0, target, images * rows, splits, part, D, WIDTH, ROWS
    )
    top = log_sum * LOG2E
    total = tl.full([ROWS], 1.0, tl.float32)
    count = tl.zeros([ROWS], tl.float32)
    near = tl.zeros([ROWS], tl.float32)
    summed = tl.zeros([ROWS, WIDTH], tl.float32)  # the partners
    for start in range(0, columns, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        met = load_part(others, column, columns, part, D, WIDTH).to(tl.float32)
        score = scale * row_scores(
            *(own, held, row, rows, others, met, column, columns), D, WIDTH, ROWS, COLUMNS, PRECISION
        )  # fmt: skip
        is_partner = _partners(matched, row, rows, column, columns)
        weight = is_partner.to(tl.float32)
        count += tl.sum(weight, 1)
        near += tl.sum(tl.where(is_partner, score, 0.0), 1)
        summed = product(weight, met, summed, PRECISION)
        score = tl.where(is_partner, score, float("-inf"))
        top, total, found = add_rows(top, total, found, score, met, PRECISION)
    anchored = there & (count > 0.0)
    count = tl.maximum(count, 1.0)
    anchors = _rows_with_a_partner(matched, rows, columns, ROWS, COLUMNS)
    share = 1.0 / (images * tl.maximum(anchors, 1.0))
    value = (top + tl.log2(total) - near / count) * LN2 * share
    slope = found / total[:, None] - summed / count[:, None]
    slope = tl.where(anchored[:, None], slope * (share / divisor), 0.0)
    which = tl.program_id(2) * images * rows + target
    tl.store(by_temperature + which, -tl.sum(slope * held, 1) / divisor, mask=there)
    tl.store(loss + target, tl.where(anchored, value, 0.0), mask=there & (part == 0))
    store_part(gradient, target, part, slope, there, D, WIDTH)
