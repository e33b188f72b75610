"""The kernels of RandAugment.

One launch makes one operation of each view, from one buffer to another, so that a move may read any pixel. A
program holds a tile of a view (of an image that is not RGB: of one channel of it). Where that is not the whole view, a
launch before it finds what an operation has to know of all pixels. What each function computes is defined by the
function of ``likewise.views.image`` that it names.
"""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.layout import BOX, SAYS_ORDER
from likewise.views.fused.kernels.tile import (
    EMPTY,
    inside,
    plane_offset,
    store,
    tile_coordinates,
    tile_count,
)
from likewise.views.fused.kernels.tone import KINDS, LEVELS, toned

ROTATE = KINDS["rotate"]
SHEAR_X, SHEAR_Y = KINDS["shear x"], KINDS["shear y"]
TRANSLATE_X, TRANSLATE_Y = KINDS["translate x"], KINDS["translate y"]


@triton.jit
def _lines(kind, amount):
    """``random_ops.affine_maps``: six numbers, the identity's where nothing moves."""
    one = amount * 0 + 1
    cosine = tl.where(kind == ROTATE, tl.cos(amount), one)
    sine = tl.where(kind == ROTATE, tl.sin(amount), 0.0)
    slope_x = tl.where(kind == SHEAR_X, amount, 0.0)
    slope_y = tl.where(kind == SHEAR_Y, amount, 0.0)
    shift_x = slope_x + tl.where(kind == TRANSLATE_X, 2 * amount, 0.0)
    shift_y = slope_y + tl.where(kind == TRANSLATE_Y, 2 * amount, 0.0)
    return cosine, slope_x - sine, shift_x, slope_y + sine, cosine, shift_y


@triton.jit
def _corner(plane, row, column, weight, size):
    """One of four neighbours, less the grey that comes in at the edges."""
    inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
    pointers = plane + row.to(tl.int32) * size + column.to(tl.int32)
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    value = tl.load(pointers, mask=inside, other=EMPTY)
    return weight * (value - EMPTY)


@triton.jit
def _moved(plane, row, column, size):
    """``random_ops.move``: a plane [size, size] at positions given in pixels."""
    above = tl.floor(row)
    left = tl.floor(column)
    down, across = row - above, column - left
    value = _corner(plane, above, left, (1 - down) * (1 - across), size)
    value += _corner(plane, above, left + 1, (1 - down) * across, size)
    value += _corner(plane, above + 1, left, down * (1 - across), size)
    value += _corner(plane, above + 1, left + 1, down * across, size)
    return value + EMPTY


@triton.jit
def _in_plane(index, size):
    """Centres of pixels in the view's [-1, 1] plane."""
    return (index * 2 + 1).to(tl.float32) / size - 1


@triton.jit
def _chain(box, new_box, xx, xy, x0, yx, yy, y0):
    """``random_ops.chained``: where the pixels of a view that was moved came from."""
    for line in tl.static_range(2):
        by_x = tl.load(box + 3 * line)
        by_y = tl.load(box + 3 * line + 1)
        tl.store(new_box + 3 * line, by_x * xx + by_y * yx)
        tl.store(new_box + 3 * line + 1, by_x * xy + by_y * yy)
        shift = tl.load(box + 3 * line + 2)
        tl.store(new_box + 3 * line + 2, by_x * x0 + by_y * y0 + shift)


@triton.jit
def operation_kernel(
    source, boxes, kinds, amounts, packed, statistics, out, new_boxes, cutout_side, size: tl.constexpr, planes,
    stride_o, stride_p, SIDE: tl.constexpr, RGB: tl.constexpr, CUTS_OUT: tl.constexpr, WHOLE: tl.constexpr,
) -> None:  # fmt: skip
    """One operation of each view: float32 [B, C, size, size] -> the same."""
    row, channel, y, x = tile_coordinates(planes, size, SIDE, SIDE)
    kind = tl.load(kinds + row * stride_o).to(tl.int32)
    amount = tl.load(amounts + row * stride_o)
    there = inside(y, x, size, SIDE, SIDE)
    area = size * size
    offset = plane_offset(row, channel, planes, size, RGB)
    plane = source + offset
    of_view = statistics + (row * planes + channel) * (3 if RGB else 1) * LEVELS
    xx, xy, x0, yx, yy, y0 = _lines(kind, amount)
    if (channel == 0) & (tl.program_id(0) % tile_count(size, SIDE, SIDE) == 0):
        _chain(boxes + row * BOX, new_boxes + row * BOX, xx, xy, x0, yx, yy, y0)
    # Pixels beyond the view are those of its edge, so that no load needs a mask.
    within_y = tl.minimum(y, size - 1)
    within_x = tl.minimum(x, size - 1)
    pointers = plane + (within_y * size)[:, None] + within_x[None, :]
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    red = tl.load(pointers)
    green = tl.load(pointers + area) if RGB else red
    blue = tl.load(pointers + 2 * area) if RGB else red
    if kind >= ROTATE:
        across = _in_plane(within_x, size)[None, :]
        down = _in_plane(within_y, size)[:, None]
        column = ((xx * across + xy * down + x0 + 1) * size - 1) * 0.5
        line = ((yx * across + yy * down + y0 + 1) * size - 1) * 0.5
        red = _moved(plane, line, column, size)
        if RGB:
            green = _moved(plane + area, line, column, size)
            blue = _moved(plane + 2 * area, line, column, size)
    else:
        red, green, blue = toned(
            plane, red, green, blue, kind, amount, y, x, there, of_view, size, SIDE, RGB, WHOLE
        )
    store(
        red, green, blue, y, x, there, out + offset, packed + row * stride_p, cutout_side, size, statistics, planes,
        RGB, False, CUTS_OUT, False,
    )  # fmt: skip
