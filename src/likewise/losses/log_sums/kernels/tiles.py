"""The GPU kernels behind `gpu_tiles`.

One program holds a block of rows and meets the other side tile by tile; a tile of scores [ROWS, COLUMNS] lives in
registers and is gone after it (Dao et al. 2022, https://arxiv.org/abs/2205.14135, for attention). Exponentials are
base 2, which is what the hardware has.

Each kernel has two ways through. Where no score can leave the range of float32 (BOUNDED) it needs no maxima and one
exponential an element; anything else takes the careful way. A number on the device decides, so the host never waits.

Most tiles need no mask. The few that do (the last one where the division leaves a rest, and those of the block's own
keys, its span) come after the others in a second turn of the same code, MASKED.
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
    product,
    scores,
    store_rows,
)


@triton.jit
def _turns(span, columns, COLUMNS: tl.constexpr, HAS_OWN: tl.constexpr):
    """The number of whole tiles and of rests (0 or 1); the whole ones from `first` up to `after` need a mask."""
    whole = columns // COLUMNS
    rest = tl.cdiv(columns, COLUMNS) - whole
    first = whole
    after = whole
    if HAS_OWN:
        first = tl.minimum(tl.load(span + 2 * tl.program_id(0)), whole)
        after = tl.minimum(tl.load(span + 2 * tl.program_id(0) + 1), whole)
    return whole, rest, first, after


@triton.jit
def _tile_at(turn, first, masked, whole, MASKED: tl.constexpr):
    """The tile of a turn: those of the span and then the rest, or all others without the span."""
    if MASKED:
        return tl.where(turn < masked, first + turn, whole)
    else:
        return tl.where(turn < first, turn, turn + masked)


@triton.jit
def _log_sums(
    query, own_key, id_here, keys, key_id, span, columns,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    HAS_OWN: tl.constexpr, HAS_IDS: tl.constexpr,
    PRECISION: tl.constexpr, BOUNDED: tl.constexpr,
):  # fmt: skip
    """Natural logarithms of a block's two sums over this program's share of the tiles."""
    whole, rest, first, after = _turns(span, columns, COLUMNS, HAS_OWN)
    masked = after - first
    top = tl.full([ROWS], 0.0 if BOUNDED else float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    top_same = top
    total_same = total
    for MASKED in tl.static_range(2):
        count = (masked + rest) if MASKED else (whole - masked)
        start, end = own_share(count)
        for turn in range(start, end):
            tile = _tile_at(turn, first, masked, whole, MASKED)
            column = tile * COLUMNS + tl.arange(0, COLUMNS)
            key = load_rows(keys, column, columns, D, WIDTH, MASKED)
            score = scores(query, key, ROWS, COLUMNS, PRECISION) * LOG2E
            if MASKED:
                score = tl.where((column < columns)[None, :], score, float("-inf"))
                if HAS_OWN:
                    score = tl.where(own_key[:, None] == column[None, :], float("-inf"), score)
            if BOUNDED:
                power = tl.exp2(score)
                total += tl.sum(power, 1)
            else:
                top, total = add_tile(top, total, score)
            if HAS_IDS:
                id_of_key = tl.load(key_id + column, mask=column < columns, other=0)
                is_positive = id_here[:, None] == id_of_key[None, :]
                if BOUNDED:
                    total_same += tl.sum(tl.where(is_positive, power, 0.0), 1)
                else:
                    score_same = tl.where(is_positive, score, float("-inf"))
                    top_same, total_same = add_tile(top_same, total_same, score_same)
    all_logsumexp = tl.where(total == 0.0, float("-inf"), (top + tl.log2(total)) * LN2)
    same = tl.where(total_same == 0.0, float("-inf"), (top_same + tl.log2(total_same)) * LN2)
    return all_logsumexp, same


@triton.jit(do_not_specialize=["rows", "columns"])
def forward_kernel(
    queries, keys, own, query_id, key_id, span, bounded, all_logsumexp, same, rows, columns,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    HAS_OWN: tl.constexpr, HAS_IDS: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Log-sums [splits, rows] of a block of queries and a share of the keys."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    query = load_rows(queries, row, rows, D, WIDTH, True)
    own_key = tl.load(own + row, mask=there, other=-1) if HAS_OWN else row
    id_here = tl.load(query_id + row, mask=there, other=0) if HAS_IDS else row
    if tl.load(bounded) != 0:
        found, found_same = _log_sums(
            query, own_key, id_here, keys, key_id, span, columns,
            D, WIDTH, ROWS, COLUMNS, HAS_OWN, HAS_IDS, PRECISION, True,
        )  # fmt: skip
    else:
        found, found_same = _log_sums(
            query, own_key, id_here, keys, key_id, span, columns,
            D, WIDTH, ROWS, COLUMNS, HAS_OWN, HAS_IDS, PRECISION, False,
        )  # fmt: skip
    offset = tl.program_id(1).to(tl.int64) * rows + row
    tl.store(all_logsumexp + offset, found, mask=there)
    if HAS_IDS:
        tl.store(same + offset, found_same, mask=there)


@triton.jit
def _of_queries(
    query, there, weight, shift, weight_same, shift_same, HAS_IDS: tl.constexpr, BOUNDED: tl.constexpr
):  # fmt: skip
    """Weights and shifts of some queries; what the flags leave out is a weight again, and unread."""
    found = tl.load(weight + query, mask=there, other=0.0)
    found_same = found
    down = found
    down_same = found
    if HAS_IDS:
        found_same = tl.load(weight_same + query, mask=there, other=0.0)
    if not BOUNDED:
        down = tl.load(shift + query, mask=there, other=0.0)
        if HAS_IDS:
            down_same = tl.load(shift_same + query, mask=there, other=0.0)
    return found, down, found_same, down_same


@triton.jit
def _coefficient(
    score, is_positive, compared, weight, shift, weight_same, shift_same,
    HAS_IDS: tl.constexpr, MASKED: tl.constexpr, BOUNDED: tl.constexpr,
):  # fmt: skip
    """What one role adds: weight * 2**(score - shift), for both sums; BOUNDED leaves out the power that all share."""
    found = weight if BOUNDED else weight * tl.exp2(score - shift)
    if HAS_IDS:
        found_same = weight_same if BOUNDED else weight_same * tl.exp2(score - shift_same)
        found = found + tl.where(is_positive, found_same, 0.0)
    if MASKED:
        found = tl.where(compared, found, 0.0)
    return found


@triton.jit
def _weighted_sum(
    held, row, rows, outer_id, inner, inner_id, own, weight, shift, weight_same, shift_same, level, span, columns,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    AS_QUERY: tl.constexpr, AS_KEY: tl.constexpr,
    HAS_OWN: tl.constexpr, HAS_IDS: tl.constexpr,
    PRECISION: tl.constexpr, BOUNDED: tl.constexpr,
):  # fmt: skip
    """The gradient of a block of rows from this program's share of the tiles."""
    whole, rest, first, after = _turns(span, columns, COLUMNS, HAS_OWN)
    masked = after - first
    edge = row < rows
    if AS_QUERY:
        weight_row, shift_row, weight_same_row, shift_same_row = _of_queries(
            row, edge, weight, shift, weight_same, shift_same, HAS_IDS, BOUNDED
        )
        own_of_row = tl.load(own + row, mask=edge, other=-1) if HAS_OWN else row
    id_of_row = tl.load(outer_id + row, mask=edge, other=0) if HAS_IDS else row
    gradient = tl.zeros([ROWS, WIDTH], tl.float32)
    for MASKED in tl.static_range(2):
        count = (masked + rest) if MASKED else (whole - masked)
        start, end = own_share(count)
        for turn in range(start, end):
            tile = _tile_at(turn, first, masked, whole, MASKED)
            column = tile * COLUMNS + tl.arange(0, COLUMNS)
            there = column < columns
            met = load_rows(inner, column, columns, D, WIDTH, MASKED)
            score = scores(held, met, ROWS, COLUMNS, PRECISION) * LOG2E
            id_of_column = tl.load(inner_id + column, mask=there, other=0) if HAS_IDS else column
            is_positive = id_of_row[:, None] == id_of_column[None, :]
            found = tl.zeros([ROWS, COLUMNS], tl.float32)
            if AS_QUERY:
                compared = there[None, :]
                if HAS_OWN:
                    compared = compared & (own_of_row[:, None] != column[None, :])
                found += _coefficient(
                    score, is_positive, compared,
                    weight_row[:, None], shift_row[:, None], weight_same_row[:, None], shift_same_row[:, None],
                    HAS_IDS, MASKED, BOUNDED,
                )  # fmt: skip
            if AS_KEY:
                weight_column, shift_column, weight_same_column, shift_same_column = _of_queries(
                    column, there, weight, shift, weight_same, shift_same, HAS_IDS, BOUNDED
                )
                compared = there[None, :]
                if HAS_OWN:
                    own_of_column = tl.load(own + column, mask=there, other=-1)
                    compared = compared & (own_of_column[None, :] != row[:, None])
                found += _coefficient(
                    score, is_positive, compared,
                    weight_column[None, :], shift_column[None, :],
                    weight_same_column[None, :], shift_same_column[None, :],
                    HAS_IDS, MASKED, BOUNDED,
                )  # fmt: skip
            if BOUNDED:
                # A pair that is left out may score above all others, and 0 * inf would be NaN.
                power = tl.minimum(score - level, 64.0) if MASKED else score - level
                found *= tl.exp2(power)
            gradient = product(found.to(met.dtype), met, gradient, PRECISION)
    return gradient


@triton.jit(do_not_specialize=["rows", "columns"])
def backward_kernel(
    outer, inner, own, outer_id, inner_id, weight, shift, weight_same, shift_same, level, bounded, span, gradient,
    rows, columns,
    D: tl.constexpr, WIDTH: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    AS_QUERY: tl.constexpr, AS_KEY: tl.constexpr,
    HAS_OWN: tl.constexpr, HAS_IDS: tl.constexpr, PRECISION: tl.constexpr,
) -> None:  # fmt: skip
    """Gradients [splits, rows, D] of a block of outer rows from a share of the inner ones."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    held = load_rows(outer, row, rows, D, WIDTH, True)
    if tl.load(bounded) != 0:
        found = _weighted_sum(
            held, row, rows, outer_id, inner, inner_id, own, weight, shift, weight_same, shift_same,
            tl.load(level), span, columns,
            D, WIDTH, ROWS, COLUMNS, AS_QUERY, AS_KEY, HAS_OWN, HAS_IDS, PRECISION, True,
        )  # fmt: skip
    else:
        found = _weighted_sum(
            held, row, rows, outer_id, inner, inner_id, own, weight, shift, weight_same, shift_same,
            0.0, span, columns,
            D, WIDTH, ROWS, COLUMNS, AS_QUERY, AS_KEY, HAS_OWN, HAS_IDS, PRECISION, False,
        )  # fmt: skip
    target = tl.program_id(1).to(tl.int64) * rows + row
    store_rows(gradient, target, found, row < rows, D, WIDTH)
