"""The GPU kernels behind `fused_batch`: unit rows, each row's loss, their mean, and the gradient of the rows.

Scores are held in powers of two. Like `triton_kernels`, only its launcher imports this file, and late.
"""

# What Triton's compiler reads is not typed Python: a tile is no Tensor, and a flag decides which names exist.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false, reportArgumentType=false, reportOperatorIssue=false
from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.triton_kernels import LN2, LOG2E, NOTHING, _add, _load_rows, _product

PAIRS = tl.constexpr(0)
OUT = tl.constexpr(1)
IN = tl.constexpr(2)
NCA = tl.constexpr(3)
"""The forms of `fused_batch.FORMS`."""


@triton.jit(do_not_specialize=["rows"])
def unit_kernel(
    given, unit, factor, rows, length, D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr
) -> None:  # fmt: skip
    """Rows of one length, float32, and by what each was multiplied."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    part = tl.arange(0, WIDTH)
    value = _load_rows(given, row, rows, D, WIDTH, True).to(tl.float32)
    scale = length / tl.maximum(tl.sqrt(tl.sum(value * value, 1)), 1e-12)
    pointers = unit + row.to(tl.int64)[:, None] * D + part[None, :]
    tl.store(pointers, value * scale[:, None], mask=(row < rows)[:, None] & (part < D)[None, :])
    tl.store(factor + row, scale, mask=row < rows)


@triton.jit
def _scores(
    held, row, met, column, rows, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr
):  # fmt: skip
    """Scores of a tile; -inf of a row with itself, and beyond the edge."""
    score = _product(held, tl.trans(met), tl.zeros([ROWS, COLUMNS], tl.float32), PRECISION) * LOG2E
    compared = (column < rows)[None, :] & (row[:, None] != column[None, :])
    return tl.where(compared, score, NOTHING), compared


@triton.jit
def _ids(labels, row, there, VIEWS: tl.constexpr):
    """Ids of some rows; views of an unlabelled image are each other's only positives."""
    image = row // VIEWS
    found = tl.load(labels + image, mask=there, other=-1)
    if VIEWS > 1:
        found = tl.where(found == -1, -2 - image.to(tl.int64), found)
    return found


@triton.jit
def _attraction(
    unit, held, row, rows, near, same_sum, positives, D: tl.constexpr, WIDTH: tl.constexpr, FORM: tl.constexpr
):  # fmt: skip
    """What each row's loss takes off the log-sum over all others."""
    number = tl.maximum(positives, 1.0)
    if FORM == PAIRS:
        found = tl.sum(held * _load_rows(unit, (row + rows // 2) % rows, rows, D, WIDTH, True), 1)
    elif FORM == OUT:
        found = near * LN2 / number
    elif FORM == IN:
        found = same_sum - tl.log2(number) * LN2
    else:
        found = same_sum
    return found


@triton.jit(do_not_specialize=["rows"])
def rows_kernel(
    unit, labels, all_logsumexp, same, count, loss, rows, bound,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    FORM: tl.constexpr, VIEWS: tl.constexpr, BOUNDED: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Of each row: the log-sums over all others and over its positives, how many these are, and the loss."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    held = _load_rows(unit, row, rows, D, WIDTH, True)
    top = tl.full([ROWS], NOTHING, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    top_same = top
    total_same = total
    positives = total
    near = total
    id_here = _ids(labels, row, there, VIEWS) if FORM != PAIRS else row
    for tile in range(0, tl.cdiv(rows, COLUMNS)):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = _load_rows(unit, column, rows, D, WIDTH, True)
        score, compared = _scores(held, row, met, column, rows, ROWS, COLUMNS, PRECISION)
        if BOUNDED:
            total += tl.sum(tl.exp2(score - bound), 1)
        else:
            top, total = _add(top, total, score)
        if FORM != PAIRS:
            id_there = _ids(labels, column, column < rows, VIEWS)
            is_positive = compared & (id_here[:, None] == id_there[None, :]) & (id_here != -1)[:, None]
            positives += tl.sum(is_positive.to(tl.float32), 1)
            if FORM == OUT:
                near += tl.sum(tl.where(is_positive, score, 0.0), 1)
            else:
                top_same, total_same = _add(top_same, total_same, tl.where(is_positive, score, NOTHING))
    if BOUNDED:
        top = tl.full([ROWS], 0.0, tl.float32) + bound  # every score was shifted by the bound
    all_sum = (top + tl.log2(total)) * LN2
    same_sum = (top_same + tl.log2(total_same)) * LN2
    attraction = _attraction(unit, held, row, rows, near, same_sum, positives, D, WIDTH, FORM)
    valid = there
    if FORM != PAIRS:
        valid = there & (positives > 0.0)
        tl.store(same + row, same_sum, mask=there)
        tl.store(count + row, positives, mask=there)
    tl.store(all_logsumexp + row, all_sum, mask=there)
    tl.store(loss + row, tl.where(valid, all_sum - attraction, 0.0), mask=there)


@triton.jit(do_not_specialize=["rows"])
def mean_kernel(
    loss, count, mean, rows, FORM: tl.constexpr, BLOCK: tl.constexpr, BY_ALL: tl.constexpr
) -> None:  # fmt: skip
    """The mean over the rows that have a positive, and the weight of each; NaN where there is nothing to learn."""
    total = tl.zeros([BLOCK], tl.float32)
    valid = tl.zeros([BLOCK], tl.float32)
    useful = tl.zeros([BLOCK], tl.float32)
    for start in range(0, rows, BLOCK):
        row = start + tl.arange(0, BLOCK)
        there = row < rows
        total += tl.load(loss + row, mask=there, other=0.0)
        if FORM == PAIRS:
            valid += there.to(tl.float32)
        else:
            positives = tl.load(count + row, mask=there, other=0.0)
            valid += (positives > 0.0).to(tl.float32)
            useful += ((positives > 0.0) & (positives < rows - 1)).to(tl.float32)
    number = tl.sum(valid, 0)
    teaches = number > 0.0
    if (FORM == IN) or (FORM == NCA):
        teaches = tl.sum(useful, 0) > 0.0
    weight = 1.0 / (rows + tl.zeros_like(number)) if BY_ALL else 1.0 / tl.maximum(number, 1.0)
    weight = tl.where(teaches, weight, float("nan"))
    tl.store(mean, tl.sum(total, 0) * weight)
    tl.store(mean + 1, weight)


@triton.jit
def _of_rows(
    labels, all_logsumexp, same, count, row, there, FORM: tl.constexpr, VIEWS: tl.constexpr
):  # fmt: skip
    """Id, log-sums in powers of two, whether it counts, and one over its positives, of some rows."""
    all_sum = tl.load(all_logsumexp + row, mask=there, other=0.0) * LOG2E
    counts = there.to(tl.float32)
    share = counts
    same_sum = all_sum
    ident = row
    if FORM != PAIRS:
        ident = _ids(labels, row, there, VIEWS)
        positives = tl.load(count + row, mask=there, other=0.0)
        counts = (positives > 0.0).to(tl.float32)
        share = counts / tl.maximum(positives, 1.0)
        if FORM != OUT:
            same_sum = tl.load(same + row, mask=there, other=0.0) * LOG2E
    return ident, all_sum, same_sum, counts, share


@triton.jit(do_not_specialize=["rows"])
def gradient_kernel(
    unit, factor, labels, all_logsumexp, same, count, mean, upstream, gradient, rows, squared_length,
    D: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    FORM: tl.constexpr, VIEWS: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """The gradient of the rows as they were given, before they were made one length."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    held = _load_rows(unit, row, rows, D, WIDTH, True)
    id_row, all_row, same_row, counts_row, share_row = _of_rows(
        labels, all_logsumexp, same, count, row, there, FORM, VIEWS
    )
    found = tl.zeros([ROWS, WIDTH], tl.float32)
    for tile in range(0, tl.cdiv(rows, COLUMNS)):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = _load_rows(unit, column, rows, D, WIDTH, True)
        score, compared = _scores(held, row, met, column, rows, ROWS, COLUMNS, PRECISION)
        id_column, all_column, same_column, counts_column, share_column = _of_rows(
            labels, all_logsumexp, same, count, column, column < rows, FORM, VIEWS
        )
        as_query = tl.exp2(score - all_row[:, None]) * counts_row[:, None]
        slope = as_query + tl.exp2(score - all_column[None, :]) * counts_column[None, :]
        if FORM != PAIRS:
            is_positive = compared & (id_row[:, None] == id_column[None, :]) & (id_row != -1)[:, None]
            if FORM == OUT:
                pull = share_row[:, None] + share_column[None, :]
            else:
                pull = tl.exp2(score - same_row[:, None]) + tl.exp2(score - same_column[None, :])
            slope -= tl.where(is_positive, pull, 0.0)
        found = _product(slope, met, found, PRECISION)
    if FORM == PAIRS:
        partner = (row + rows // 2) % rows
        found -= 2.0 * _load_rows(unit, partner, rows, D, WIDTH, True)
    along = tl.sum(found * held, 1) / squared_length  # moving along itself turns nothing
    scale = tl.load(factor + row, mask=there, other=0.0) * tl.load(mean + 1) * tl.load(upstream)
    found = (found - held * along[:, None]) * scale[:, None]
    part = tl.arange(0, WIDTH)
    pointers = gradient + row.to(tl.int64)[:, None] * D + part[None, :]
    tl.store(pointers, found.to(gradient.dtype.element_ty), mask=there[:, None] & (part < D)[None, :])
