"""Each row's sums, the mean loss, and the gradient of the rows."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import (
    LN2,
    LOG2E,
    add_tile,
    load_part,
    load_rows,
    merge,
    own_share,
    product,
    row_scores,
    store_part,
    store_rows,
)
from likewise.losses.fused.kernels.unit_rows import across


@triton.jit
def _scores(
    unit, kept, held, row, met, column, rows,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    KEPT: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Scores of a tile, made or read; -inf of a row with itself, and beyond the edge."""
    if KEPT:
        there = (row < rows)[:, None] & (column < rows)[None, :]
        pointers = kept + row.to(tl.int64)[:, None] * rows + column[None, :]
        score = tl.load(pointers, mask=there, other=0.0)
    else:
        score = row_scores(
            *(unit, held, row, rows, unit, met, column, rows), D, WIDTH, ROWS, COLUMNS, PRECISION
        )
    score *= LOG2E
    compared = (column < rows)[None, :] & (row[:, None] != column[None, :])
    return tl.where(compared, score, float("-inf")), compared


@triton.jit
def _ids(labels, row, there, VIEWS: tl.constexpr):
    """Ids of some rows; views of an unlabelled image are each other's only positives."""
    image = row // VIEWS
    found = tl.load(labels + image, mask=there, other=-1)
    if VIEWS > 1:
        found = tl.where(found == -1, -2 - image.to(tl.int64), found)
    return found


@triton.jit(do_not_specialize=["rows"])
def rows_kernel(
    unit, kept, labels, parts, rows, bound,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    FORM: tl.constexpr, VIEWS: tl.constexpr,
    BOUNDED: tl.constexpr, KEPT: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Of a block of rows over a share of the others, parts [4, splits, rows].

    These are the log-sums over all others and over the positives, how many positives there are, and their summed score.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    held = load_part(unit, row, rows, 0, D, WIDTH)
    top = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    top_same = top
    total_same = total
    positives = total
    near = total
    id_here = (row + rows // 2) % rows if FORM == "pairs" else _ids(labels, row, there, VIEWS)
    start, end = own_share(tl.cdiv(rows, COLUMNS))
    for tile in range(start, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = load_part(unit, column, rows, 0, D, WIDTH)
        score, compared = _scores(
            unit, kept, held, row, met, column, rows, D, WIDTH, ROWS, COLUMNS, KEPT, PRECISION
        )
        if BOUNDED:
            total += tl.sum(tl.exp2(score - bound), 1)
        else:
            top, total = add_tile(top, total, score)
        id_there = column if FORM == "pairs" else _ids(labels, column, column < rows, VIEWS)
        is_positive = compared & (id_here[:, None] == id_there[None, :])
        if FORM != "pairs":
            is_positive = is_positive & (id_here != -1)[:, None]
            positives += tl.sum(is_positive.to(tl.float32), 1)
        if (FORM == "pairs") or (FORM == "out"):
            near += tl.sum(tl.where(is_positive, score, 0.0), 1)
        else:
            score_same = tl.where(is_positive, score, float("-inf"))
            top_same, total_same = add_tile(top_same, total_same, score_same)
    if BOUNDED:
        top = tl.full([ROWS], 0.0, tl.float32) + bound  # every score was shifted by the bound
    size = rows * tl.num_programs(1)  # of each of the four parts
    target = parts + tl.program_id(1) * rows + row
    tl.store(target, top + tl.log2(total), mask=there)
    tl.store(target + size, top_same + tl.log2(total_same), mask=there)
    tl.store(target + 2 * size, positives, mask=there)
    tl.store(target + 3 * size, near, mask=there)


@triton.jit
def _joined(parts, row, rows, splits, BLOCK: tl.constexpr):
    """What `rows_kernel` found of some rows, over all shares."""
    there = row < rows
    top = tl.full([BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    top_same = top
    total_same = total
    positives = total
    near = total
    size = rows * splits
    for split in range(0, splits):
        source = parts + split * rows + row
        of_all = tl.load(source, mask=there, other=float("-inf"))
        of_positives = tl.load(source + size, mask=there, other=float("-inf"))
        top, total = merge(top, total, of_all)
        top_same, total_same = merge(top_same, total_same, of_positives)
        positives += tl.load(source + 2 * size, mask=there, other=0.0)
        near += tl.load(source + 3 * size, mask=there, other=0.0)
    return top + tl.log2(total), top_same + tl.log2(total_same), positives, near


@triton.jit(do_not_specialize=["rows", "splits"])
def mean_kernel(
    parts, all_logsumexp, same, count, mean, rows, splits,
    FORM: tl.constexpr, BLOCK: tl.constexpr, BY_ALL: tl.constexpr,
) -> None:  # fmt: skip
    """Each row's sums; the mean loss of rows that have a positive, and the weight of each; NaN if none can learn."""
    total = tl.zeros([BLOCK], tl.float32)
    valid = tl.zeros([BLOCK], tl.float32)
    useful = tl.zeros([BLOCK], tl.float32)
    for start in range(0, rows, BLOCK):
        row = start + tl.arange(0, BLOCK)
        there = row < rows
        all_sum, same_sum, positives, near = _joined(parts, row, rows, splits, BLOCK)
        number = tl.maximum(positives, 1.0)
        if FORM == "pairs":
            counts = there
            attraction = near
        elif FORM == "out":
            counts = there & (positives > 0.0)
            attraction = near / number
        else:
            counts = there & (positives > 0.0)
            attraction = same_sum - tl.log2(number) if FORM == "in" else same_sum
            useful += (counts & (positives < rows - 1)).to(tl.float32)
        total += tl.where(counts, (all_sum - attraction) * LN2, 0.0)
        valid += counts.to(tl.float32)
        tl.store(all_logsumexp + row, all_sum, mask=there)
        tl.store(same + row, same_sum, mask=there)
        tl.store(count + row, positives, mask=there)
    number = tl.sum(valid, 0)
    teaches = number > 0.0
    if (FORM == "in") or (FORM == "nca"):
        teaches = tl.sum(useful, 0) > 0.0
    weight = 1.0 / (rows + tl.zeros_like(number)) if BY_ALL else 1.0 / tl.maximum(number, 1.0)
    weight = tl.where(teaches, weight, float("nan"))
    tl.store(mean, tl.sum(total, 0) * weight)
    tl.store(mean + 1, weight)


@triton.jit
def _of_rows(
    labels, all_logsumexp, same, count, row, there, FORM: tl.constexpr, VIEWS: tl.constexpr
):  # fmt: skip
    """Id, log-sums, whether it counts, and one over its positives, of some rows."""
    all_sum = tl.load(all_logsumexp + row, mask=there, other=0.0)
    counts = there.to(tl.float32)
    share = counts
    same_sum = all_sum
    ident = row
    if FORM != "pairs":
        ident = _ids(labels, row, there, VIEWS)
        positives = tl.load(count + row, mask=there, other=0.0)
        counts = (positives > 0.0).to(tl.float32)
        share = counts / tl.maximum(positives, 1.0)
        if FORM != "out":
            same_sum = tl.load(same + row, mask=there, other=0.0)
    return ident, all_sum, same_sum, counts, share


@triton.jit(do_not_specialize=["rows"])
def slopes_kernel(
    unit, kept, labels, all_logsumexp, same, count, results, rows,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    FORM: tl.constexpr, VIEWS: tl.constexpr,
    KEPT: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """What a share of the others adds to the gradient of a block of unit rows, [splits, rows, D]; not yet weighted.

    Where WIDTH does not hold D, a program makes that part of the gradient. From scores that are KEPT come the slopes
    alone, [., rows], which are still to be multiplied with the unit rows.
    """
    part = tl.program_id(2) * WIDTH
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    held = load_part(unit, row, rows, part, D, WIDTH)
    id_row, all_row, same_row, counts_row, share_row = _of_rows(
        labels, all_logsumexp, same, count, row, there, FORM, VIEWS
    )
    found = tl.zeros([ROWS, WIDTH], tl.float32)
    start, end = own_share(tl.cdiv(rows, COLUMNS))
    for tile in range(start, end):
        column = tile * COLUMNS + tl.arange(0, COLUMNS)
        met = load_part(unit, column, rows, part, D, WIDTH)
        score, compared = _scores(
            unit, kept, held, row, met, column, rows, D, WIDTH, ROWS, COLUMNS, KEPT, PRECISION
        )
        id_column, all_column, same_column, counts_column, share_column = _of_rows(
            labels, all_logsumexp, same, count, column, column < rows, FORM, VIEWS
        )
        # A score is one of both its rows: its softmax among those of each is added.
        slope = tl.exp2(score - all_row[:, None]) * counts_row[:, None]
        slope += tl.exp2(score - all_column[None, :]) * counts_column[None, :]
        if FORM != "pairs":
            same_id = id_row[:, None] == id_column[None, :]
            is_positive = compared & same_id & (id_row != -1)[:, None]
            if FORM == "out":
                pull = share_row[:, None] + share_column[None, :]
            else:
                pull = tl.exp2(score - same_row[:, None])
                pull += tl.exp2(score - same_column[None, :])
            slope -= tl.where(is_positive, pull, 0.0)
        if KEPT:
            pointers = results + row.to(tl.int64)[:, None] * rows + column[None, :]
            tl.store(pointers, slope, mask=there[:, None] & (column < rows)[None, :])
        else:
            found = product(slope, met, found, PRECISION)
    if not KEPT:
        target = tl.program_id(1).to(tl.int64) * rows + row
        store_part(results, target, part, found, there, D, WIDTH)


@triton.jit(do_not_specialize=["rows", "splits"])
def gradient_kernel(
    parts, unit, factor, mean, upstream, gradient, rows, splits, squared_length,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, FORM: tl.constexpr,
) -> None:  # fmt: skip
    """The gradient of the rows as they were given, before they were made one length."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    held = load_rows(unit, row, rows, D, WIDTH, True)
    found = tl.zeros([ROWS, WIDTH], tl.float32)
    for split in range(0, splits):
        share = parts + (split * rows).to(tl.int64) * D
        found += load_rows(share, row, rows, D, WIDTH, True)
    if FORM == "pairs":
        partner = (row + rows // 2) % rows
        found -= 2.0 * load_rows(unit, partner, rows, D, WIDTH, True)
    scale = tl.load(factor + row, mask=there, other=0.0)
    scale = scale * tl.load(mean + 1) * tl.load(upstream)
    found = across(found, held, squared_length) * scale[:, None]
    store_rows(gradient, row, found, there, D, WIDTH)
