"""Of the rows of a support: which begin a class, and each row's smoothed label."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows"])
def firsts_kernel(labels, firsts, rows, ROWS: tl.constexpr, COLUMNS: tl.constexpr) -> None:
    """Whether no earlier row has the label of a row, [rows]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    label = tl.load(labels + row, mask=there, other=0).to(tl.int64)
    earlier = tl.zeros([ROWS], tl.int32)
    for start in range(0, (tl.program_id(0) + 1) * ROWS, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        met = tl.load(labels + column, mask=column < rows, other=0).to(tl.int64)
        same = (label[:, None] == met[None, :]) & (column[None, :] < row[:, None])
        earlier = tl.maximum(earlier, tl.max(same.to(tl.int32), 1))
    tl.store(firsts + row, 1 - earlier, mask=there)


@triton.jit(do_not_specialize=["rows", "classes"])
def membership_kernel(
    labels, firsts, smoothing, membership, fits, rows, classes,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
) -> None:  # fmt: skip
    """[rows, classes]; and whether no label is negative, and no class one too many."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    label = tl.load(labels + row, mask=there, other=0).to(tl.int64)
    number = tl.zeros([ROWS], tl.int32)
    found = tl.zeros([COLUMNS], tl.int32)
    negative = tl.zeros([COLUMNS], tl.int32)
    for start in range(0, rows, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        met = tl.load(labels + column, mask=column < rows, other=0).to(tl.int64)
        is_first = tl.load(firsts + column, mask=column < rows, other=0)
        # A class has the number of classes with smaller labels.
        number += tl.sum(tl.where(met[None, :] < label[:, None], is_first[None, :], 0), 1)
        found += is_first
        negative = tl.maximum(negative, (met < 0).to(tl.int32))
    count = tl.sum(found, 0)
    all_fit = (tl.max(negative, 0) == 0) & (count <= classes)
    tl.store(fits, all_fit, mask=tl.program_id(0) == 0)
    for start in range(0, classes, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
        own = tl.where(number[:, None] == column[None, :], 1.0 - smoothing, 0.0)
        spread = tl.where(column < count, smoothing / count, 0.0)
        pointers = membership + row.to(tl.int64)[:, None] * classes + column[None, :]
        tl.store(pointers, own + spread[None, :], mask=there[:, None] & (column < classes)[None, :])
