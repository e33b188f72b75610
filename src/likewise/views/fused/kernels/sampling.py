"""The kernel that makes the parameters of views from random numbers."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused import sampling
from likewise.views.fused.kernels import layout
from likewise.views.fused.kernels.layout import BOX

TRIES = tl.constexpr(sampling.TRIES)
BOX_LINES = tl.constexpr(sampling.BOX_LINES)
CHANGES = tl.constexpr(sampling.CHANGES)
FACTORS, ORDER, GREY = layout.FACTORS, layout.ORDER, layout.GREY
BLURRED, SIGMA = layout.BLURRED, layout.SIGMA
SOLARIZED, CUTOUT = layout.SOLARIZED, layout.CUTOUT

NOT_SPECIALIZED = [
    *("rows", "stride", "least", "greatest", "flip"),
    *("active", "jitter", "grey", "blur", "solarize"),
]
"""Numbers for which Triton does not compile a kernel of its own where they are 1 or divisible by 16."""


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def sampling_kernel(
    drawn, aspects, found, packed, rows, stride, least, greatest, flip, active, jitter, grey, blur, solarize,
    COLOURED: tl.constexpr, ROWS: tl.constexpr,
) -> None:  # fmt: skip
    """``ViewPolicy._by_pytorch``: lines [L, B] of random numbers -> boxes [B, 6], rows [B, columns] of `packing`."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    _place_boxes(drawn, aspects, found, row, there, rows, least, greatest, flip, ROWS)
    if COLOURED:
        lines = drawn + BOX_LINES * rows
        columns = packed + row * stride
        _choose_colours(lines, columns, row, there, rows, active, jitter)
        # After the factors, their order and the jitter's chance: one number of a row in each line.
        lines += (2 * CHANGES + 1) * rows + row
        _choose(lines, columns + GREY, there, grey)
        _choose(lines + rows, columns + BLURRED, there, blur)
        _copy(lines + 2 * rows, columns + SIGMA, there)
        _choose(lines + 3 * rows, columns + SOLARIZED, there, solarize)
        centres = lines + 4 * rows + row  # two numbers of a row, side by side
        _copy(centres, columns + CUTOUT, there)
        _copy(centres + 1, columns + CUTOUT + 1, there)


@triton.jit(do_not_specialize=["count", "chance"])
def operation_sampling_kernel(
    drawn, table, kinds, amounts, count, chance, PLACES: tl.constexpr
) -> None:
    """``random_ops.operations_of``: lines of random numbers -> kinds and amounts [B, operations], count in all."""
    place = tl.program_id(0) * PLACES + tl.arange(0, PLACES)
    there = place < count
    kind = tl.load(drawn + place, mask=there, other=0.0).to(tl.int32)
    strength = tl.load(drawn + count + place, mask=there, other=0.0)
    number = tl.load(drawn + 2 * count + place, mask=there, other=0.0)
    left_out = tl.load(drawn + 3 * count + place, mask=there, other=1.0) >= chance
    of_kind = table + kind * 4  # an `Amount`
    offset = tl.load(of_kind, mask=there, other=0.0)
    slope = tl.load(of_kind + 1, mask=there, other=0.0)
    signed = tl.load(of_kind + 2, mask=there, other=0.0) > 0
    whole = tl.load(of_kind + 3, mask=there, other=0.0) > 0
    sign = tl.where(number > 0, 1.0, tl.where(number < 0, -1.0, 0.0))
    amount = offset + slope * strength * tl.where(signed, sign, 1.0)
    amount = tl.where(whole, tl.floor(amount), amount)
    tl.store(kinds + place, tl.where(left_out, 0, kind), mask=there)
    tl.store(amounts + place, amount, mask=there)


@triton.jit
def _place_boxes(
    drawn, aspects, found, row, there, rows, least, greatest, flip, ROWS: tl.constexpr
) -> None:
    """``crop.boxes_of``."""
    aspect = tl.load(aspects + row, mask=there, other=1.0)
    closest = tl.minimum(tl.maximum(aspect, least), greatest) / aspect
    width = tl.minimum(closest, 1.0)
    height = tl.minimum(1 / closest, 1.0)
    shares = drawn + row * TRIES
    log_ratios = shares + rows * TRIES
    for tried in range(TRIES):
        attempt = TRIES - 1 - tried  # the first that fits is met last
        share = tl.load(shares + attempt, mask=there, other=1.0)
        shape = tl.exp(tl.load(log_ratios + attempt, mask=there, other=0.0)) / aspect
        wide = tl.sqrt(share * shape)
        high = tl.sqrt(share / shape)
        fits = (wide <= 1) & (high <= 1)
        width = tl.where(fits, wide, width)
        height = tl.where(fits, high, height)
    lines = drawn + 2 * TRIES * rows + row
    across = tl.load(lines, mask=there, other=0.0)
    down = tl.load(lines + rows, mask=there, other=0.0)
    is_mirrored = tl.load(lines + 2 * rows, mask=there, other=1.0) < flip
    nought = tl.zeros([ROWS], tl.float32)
    pointers = found + row * BOX
    tl.store(pointers, tl.where(is_mirrored, -width, width), mask=there)
    tl.store(pointers + 1, nought, mask=there)
    tl.store(pointers + 2, across * (1 - width), mask=there)
    tl.store(pointers + 3, nought, mask=there)
    tl.store(pointers + 4, height, mask=there)
    tl.store(pointers + 5, down * (1 - height), mask=there)


@triton.jit
def _choose_colours(lines, columns, row, there, rows, active, jitter) -> None:
    """The factors, and which operation comes when: the one of the least number first, -1 in place of one left out."""
    orders = lines + CHANGES * rows + row * CHANGES
    is_jittered = tl.load(lines + 2 * CHANGES * rows + row, mask=there, other=1.0) < jitter
    for change in tl.static_range(CHANGES):
        _copy(lines + change * rows + row, columns + FACTORS + change, there)
        number = tl.load(orders + change, mask=there, other=0.0)
        place = row * 0
        for other in tl.static_range(CHANGES):
            rival = tl.load(orders + other, mask=there, other=0.0)
            if other < change:
                place += (rival <= number).to(tl.int32)
            if other > change:
                place += (rival < number).to(tl.int32)
        is_made = is_jittered & (((active >> change) & 1) != 0)
        tl.store(columns + ORDER + place, tl.where(is_made, change * 1.0, -1.0), mask=there)


@triton.jit
def _choose(numbers, column, there, chance) -> None:
    """1 with the chance, else 0."""
    number = tl.load(numbers, mask=there, other=1.0)
    tl.store(column, tl.where(number < chance, 1.0, 0.0), mask=there)


@triton.jit
def _copy(numbers, column, there) -> None:
    tl.store(column, tl.load(numbers, mask=there, other=0.0), mask=there)
