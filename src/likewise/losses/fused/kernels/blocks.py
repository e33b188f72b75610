"""What the kernels of all losses share: blocks of rows in and out, products, running sums.

Scores are held in powers of two, which is what the hardware has.

Every launch compares the global constants of its kernel with what they were, about 0.3 us each. So few are here.
"""

from __future__ import annotations

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def load_rows(
    matrix, row, rows, D: tl.constexpr, WIDTH: tl.constexpr, MASKED: tl.constexpr
) -> tl.tensor:
    """[len(row), WIDTH] of a contiguous [rows, D] matrix, zeros beyond its edges."""
    part = tl.arange(0, WIDTH)
    pointers = matrix + row.to(tl.int64)[:, None] * D + part[None, :]
    there = (row < rows)[:, None]
    within = (part < D)[None, :]
    # Four loads, since a mask that is always true costs registers.
    if D == WIDTH:
        if MASKED:
            return tl.load(pointers, mask=there, other=0.0)
        else:
            return tl.load(pointers)
    else:
        if MASKED:
            return tl.load(pointers, mask=there & within, other=0.0)
        else:
            return tl.load(pointers, mask=within, other=0.0)


@triton.jit
def load_part(matrix, row, rows, first, D: tl.constexpr, WIDTH: tl.constexpr) -> tl.tensor:
    """[len(row), WIDTH] of a contiguous [rows, D] matrix from a column on, zeros beyond its edges."""
    if D <= WIDTH:
        return load_rows(matrix, row, rows, D, WIDTH, True)
    else:
        part = first + tl.arange(0, WIDTH)
        pointers = matrix + row.to(tl.int64)[:, None] * D + part[None, :]
        there = (row < rows)[:, None]
        if D // WIDTH * WIDTH != D:
            there = there & (part < D)[None, :]
        return tl.load(pointers, mask=there, other=0.0)


@triton.jit
def store_part(
    matrix, row, first, values, there, D: tl.constexpr, WIDTH: tl.constexpr
) -> None:  # fmt: skip
    """Values [len(row), WIDTH] into rows of a contiguous [rows, D] matrix that are ``there``, from a column on."""
    part = first + tl.arange(0, WIDTH)
    pointers = matrix + row.to(tl.int64)[:, None] * D + part[None, :]
    mask = there[:, None] & (part < D)[None, :]
    tl.store(pointers, values.to(matrix.dtype.element_ty), mask=mask)


@triton.jit
def store_rows(matrix, row, values, there, D: tl.constexpr, WIDTH: tl.constexpr) -> None:
    """Values [len(row), WIDTH] into the rows of a contiguous [rows, D] matrix that are ``there``, in its format."""
    store_part(matrix, row, 0, values, there, D, WIDTH)


INTERPRETED = tl.constexpr(not isinstance(load_rows, triton.JITFunction))


@triton.jit
def product(left, right, before, PRECISION: tl.constexpr) -> tl.tensor:
    """Left @ right + before, accumulated in float32."""
    if INTERPRETED:  # which takes the bits of a bfloat16 for a whole number
        left = left.to(tl.float32)
        right = right.to(tl.float32)
    return tl.dot(left, right, acc=before, input_precision=PRECISION)


@triton.jit
def scores(
    held, met, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr
) -> tl.tensor:
    """Inner products [ROWS, COLUMNS] of two blocks of rows, accumulated in float32."""
    nothing = tl.zeros([ROWS, COLUMNS], tl.float32)
    return product(held, tl.trans(met), nothing, PRECISION)


@triton.jit
def row_scores(
    left, held, row, rows, right, met, column, columns,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PRECISION: tl.constexpr,
    NARROW: tl.constexpr = 128, STEP: tl.constexpr = 64,
) -> tl.tensor:  # fmt: skip
    """Inner products [ROWS, COLUMNS] of rows of two [., D] matrices, accumulated in float32.

    Up to NARROW columns ``held`` and ``met`` are these rows. Wider rows are read STEP columns at a time, as in a
    product of matrices: whole ones would not fit the registers.
    """
    if D <= NARROW:
        return scores(held, met, ROWS, COLUMNS, PRECISION)
    else:
        found = tl.zeros([ROWS, COLUMNS], tl.float32)
        for first in range(0, D, STEP):
            of_row = load_part(left, row, rows, first, D, STEP).to(tl.float32)
            of_column = load_part(right, column, columns, first, D, STEP).to(tl.float32)
            found = product(of_row, tl.trans(of_column), found, PRECISION)
        return found


@triton.jit
def own_share(tiles) -> tuple[tl.tensor, tl.tensor]:
    """The first of a program's tiles, where the programs of a block share them, and one past its last."""
    share = tl.cdiv(tiles, tl.num_programs(1))
    first = tl.program_id(1) * share
    return first, tl.minimum(first + share, tiles)


@triton.jit
def add_tile(top, total, score) -> tuple[tl.tensor, tl.tensor]:
    """Online log-sum-exp of the rows of a tile; `total` is in units of 2**top."""
    highest = tl.maximum(top, tl.max(score, 1))
    shift = tl.where(highest == float("-inf"), 0.0, highest)  # -inf less -inf would be NaN
    total = total * tl.exp2(top - shift) + tl.sum(tl.exp2(score - shift[:, None]), 1)
    return highest, total


@triton.jit
def add_rows(
    top, total, found, score, met, PRECISION: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """`add_tile` of rows that have a score, with the sum `found` of the tile's columns `met` under the weights."""
    highest = tl.maximum(top, tl.max(score, 1))
    shrunk = tl.exp2(top - highest)
    power = tl.exp2(score - highest[:, None])
    total = total * shrunk + tl.sum(power, 1)
    return highest, total, product(power, met, found * shrunk[:, None], PRECISION)


@triton.jit
def merge(top, total, log_sum) -> tuple[tl.tensor, tl.tensor]:
    """The same for one log-sum a row."""
    highest = tl.maximum(top, log_sum)
    shift = tl.where(highest == float("-inf"), 0.0, highest)  # -inf less -inf would be NaN
    return highest, total * tl.exp2(top - shift) + tl.exp2(log_sum - shift)


@triton.jit
def number(given, READ: tl.constexpr) -> tl.tensor:
    """A number as it was given, or as it lies in the device's memory."""
    if READ:
        return tl.load(given).to(tl.float32)
    else:
        return given
