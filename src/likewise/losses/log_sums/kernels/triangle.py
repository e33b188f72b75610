"""The GPU kernels behind `gpu_triangle`.

A block of rows meets the tiles of columns from its own rows on. Its row sums stay in registers; the column sums of its
tiles are written to a line of its own. `joined_kernel` adds up both in their order, but for a line's columns that are
the block's own rows. Where no score can leave the range of float32 (BOUNDED) sums are sums; else they are logarithms to
base 2.
"""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.losses.fused.kernels.blocks import (
    LN2,
    LOG2E,
    add_tile,
    load_rows,
    own_share,
    scores,
)


@triton.jit
def _as_part(top, total, BOUNDED: tl.constexpr):
    """What is written of a running sum."""
    if BOUNDED:
        return total
    else:
        return tl.where(total == 0.0, float("-inf"), top + tl.log2(total))


@triton.jit
def _added(top, total, score, power, column_sums, there, BOUNDED: tl.constexpr):
    """Running row sums with those of a tile [ROWS, COLUMNS], whose column sums are written."""
    if BOUNDED:
        total += tl.sum(power, 1)
        tl.store(column_sums, tl.sum(power, 0), mask=there)
    else:
        top, total = add_tile(top, total, score)
        highest = tl.max(score, 0)
        shift = tl.where(highest == float("-inf"), 0.0, highest)  # -inf less -inf would be NaN
        column_total = tl.sum(tl.exp2(score - shift[None, :]), 0)
        tl.store(column_sums, _as_part(shift, column_total, False), mask=there)
    return top, total


@triton.jit
def _turns(block, rows, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Tiles of a block: its own rows' first and count, the next, the first not whole, and if that is after (0 or 1)."""
    own = block * (ROWS // COLUMNS)
    after = own + ROWS // COLUMNS
    whole = rows // COLUMNS
    tiles = tl.cdiv(rows, COLUMNS)
    rest = tl.maximum(tiles - tl.maximum(whole, after), 0)
    return own, tl.minimum(after, tiles) - own, after, whole, rest


@triton.jit
def _sums_of_block(
    z, ids, parts, parts_same, rows,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    HAS_IDS: tl.constexpr, PRECISION: tl.constexpr, BOUNDED: tl.constexpr,
) -> None:  # fmt: skip
    """Write a block's row sums over this program's share of its tiles, and the column sums of these tiles."""
    block = tl.program_id(0)
    row = block * ROWS + tl.arange(0, ROWS)
    held = load_rows(z, row, rows, D, WIDTH, True)
    id_here = tl.load(ids + row, mask=row < rows, other=0) if HAS_IDS else row
    line = (tl.num_programs(1) + block).to(tl.int64) * rows
    own, own_count, after, whole, rest = _turns(block, rows, ROWS, COLUMNS)
    top = tl.full([ROWS], 0.0 if BOUNDED else float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    top_same = top
    total_same = total
    # The block's own tiles and a rest need a mask. Rows beyond the last are in the last block, which has no others.
    for MASKED in tl.static_range(2):
        start, end = own_share((own_count + rest) if MASKED else tl.maximum(whole - after, 0))
        for turn in range(start, end):
            tile = tl.where(turn < own_count, own + turn, whole) if MASKED else after + turn
            column = tile * COLUMNS + tl.arange(0, COLUMNS)
            there = column < rows
            met = load_rows(z, column, rows, D, WIDTH, MASKED)
            score = scores(held, met, ROWS, COLUMNS, PRECISION) * LOG2E
            if MASKED:
                compared = there[None, :] & (row[:, None] != column[None, :])
                score = tl.where(compared, score, float("-inf"))
            power = tl.exp2(score) if BOUNDED else score
            target = line + column
            top, total = _added(top, total, score, power, parts + target, there, BOUNDED)
            if HAS_IDS:
                id_of_column = tl.load(ids + column, mask=there, other=0)
                is_positive = id_here[:, None] == id_of_column[None, :]
                power = tl.where(is_positive, power, 0.0)
                score = tl.where(is_positive, score, float("-inf"))
                top_same, total_same = _added(
                    top_same, total_same, score, power, parts_same + target, there, BOUNDED
                )
    target = tl.program_id(1).to(tl.int64) * rows + row
    tl.store(parts + target, _as_part(top, total, BOUNDED), mask=row < rows)
    if HAS_IDS:
        tl.store(parts_same + target, _as_part(top_same, total_same, BOUNDED), mask=row < rows)


@triton.jit(do_not_specialize=["rows"])
def triangle_kernel(
    z, ids, bounded, parts, parts_same, rows,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    HAS_IDS: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Parts [splits + blocks, rows]: row sums of each split, then the column sums of each block beyond its own rows."""
    if tl.load(bounded) != 0:
        _sums_of_block(
            z, ids, parts, parts_same, rows,
            D, WIDTH, ROWS, COLUMNS, HAS_IDS, PRECISION, True,
        )  # fmt: skip
    else:
        _sums_of_block(
            z, ids, parts, parts_same, rows,
            D, WIDTH, ROWS, COLUMNS, HAS_IDS, PRECISION, False,
        )  # fmt: skip


@triton.jit(do_not_specialize=["rows", "splits", "lines"])
def joined_kernel(
    parts, bounded, log_sums, rows, splits, lines, ROWS: tl.constexpr, LINES: tl.constexpr
) -> None:  # fmt: skip
    """Natural logarithms [1 or 2, rows] of what the lines of parts add up to, so many at a time, in their order."""
    block = tl.program_id(0)
    which = tl.program_id(1).to(tl.int64)
    column = block * ROWS + tl.arange(0, ROWS)
    there = column < rows
    is_bounded = tl.load(bounded) != 0
    nothing = tl.where(is_bounded, 0.0, float("-inf"))
    top = tl.zeros([ROWS], tl.float32) + nothing
    total = tl.zeros([ROWS], tl.float32)
    count = splits + block  # the blocks before this one have its columns
    for first in range(0, count, LINES):
        line = first + tl.arange(0, LINES)
        pointers = parts + (which * lines + line)[:, None] * rows + column[None, :]
        found = tl.load(pointers, mask=(line < count)[:, None] & there[None, :], other=nothing)
        if is_bounded:
            total += tl.sum(found, 0)
        else:
            top, total = add_tile(top, total, tl.trans(found))
    log_sum = tl.where(total == 0.0, float("-inf"), (top + tl.log2(total)) * LN2)
    tl.store(log_sums + which * rows + column, log_sum, mask=there)
