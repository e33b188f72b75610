"""The kernel of RandAugment.

One launch makes one operation of each view, from one buffer to another, so that a move may read any pixel. A
program holds a whole view (of an image that is not RGB: one channel of it). What each function computes is defined by
the function of ``likewise.views.image`` that it names.
"""

# What Triton's compiler reads is not typed Python: a tile is no Tensor, and a flag decides which names exist.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false, reportArgumentType=false, reportOperatorIssue=false
from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.colour import blended, luminance, whole_sum
from likewise.views.fused.kernels.layout import BOX, SAYS_ORDER
from likewise.views.fused.kernels.tile import (
    EMPTY,
    inside,
    plane_offset,
    store,
    tile_coordinates,
    within,
)
from likewise.views.image import random_ops, tone

KINDS = {name: tl.constexpr(number) for number, name in enumerate(random_ops.OPERATIONS)}
AUTOCONTRAST = KINDS["autocontrast"]
EQUALIZE = KINDS["equalize"]
BRIGHTNESS = KINDS["brightness"]
COLOUR = KINDS["colour"]
CONTRAST = KINDS["contrast"]
SHARPNESS = KINDS["sharpness"]
POSTERIZE = KINDS["posterize"]
SOLARIZE = KINDS["solarize"]
ROTATE = KINDS["rotate"]
SHEAR_X, SHEAR_Y = KINDS["shear x"], KINDS["shear y"]
TRANSLATE_X, TRANSLATE_Y = KINDS["translate x"], KINDS["translate y"]
LEVELS = tl.constexpr(tone.LEVELS)


@triton.jit
def _autocontrast(channel, there):
    """``tone.autocontrast``."""
    least = tl.min(tl.min(tl.where(there, channel, 2.0), 1), 0)
    greatest = tl.max(tl.max(tl.where(there, channel, -1.0), 1), 0)
    flat = least == greatest
    offset = tl.where(flat, 0.0, least)
    span = tl.where(flat, 1.0, greatest - least)
    return within((channel - offset) / span)


@triton.jit
def _equalize(channel, there, size, SIDE: tl.constexpr):
    """``tone.equalize``."""
    levels = tl.reshape((channel * (LEVELS - 1e-3)).to(tl.int32), [SIDE * SIDE])
    levels = tl.minimum(tl.maximum(levels, 0), LEVELS - 1)
    seen = tl.reshape(there.to(tl.int32), [SIDE * SIDE]) != 0
    level = tl.arange(0, LEVELS)
    # Pixels outside the view are counted as 0, and then taken off.
    counts = tl.histogram(tl.where(seen, levels, 0), LEVELS)
    counts = counts - tl.where(level == 0, SIDE * SIDE - size * size, 0)
    brightest = tl.max(tl.where(counts > 0, level, 0), 0)
    of_brightest = tl.sum(tl.where(level == brightest, counts, 0), 0)
    per_level = (size * size - of_brightest) // (LEVELS - 1)
    below = tl.cumsum(counts, 0) - counts
    table = tl.minimum((below + per_level // 2) // tl.maximum(per_level, 1), LEVELS - 1)
    spread = tl.where(per_level > 0, tl.gather(table, levels, 0), levels)
    return tl.reshape(spread.to(tl.float32) / (LEVELS - 1), [SIDE, SIDE])


@triton.jit
def _sharpened(plane, channel, factor, y, x, size):
    """``tone.sharpen``, the neighbours read from the plane that the channel came from."""
    total = 4 * channel
    for down in range(3):
        line = tl.minimum(tl.maximum(y + down - 1, 0), size - 1) * size
        for across in range(3):
            column = tl.minimum(tl.maximum(x + across - 1, 0), size - 1)
            pointers = plane + line[:, None] + column[None, :]
            if SAYS_ORDER:
                pointers = tl.max_contiguous(pointers, [1, 2])
            total += tl.load(pointers)
    smooth = total / 13
    inner_y = (y > 0) & (y < size - 1)
    inner_x = (x > 0) & (x < size - 1)
    sharpened = within(smooth + factor * (channel - smooth))
    return tl.where(inner_y[:, None] & inner_x[None, :], sharpened, channel)


@triton.jit
def _posterized(channel, bits):
    """``tone.posterize``."""
    levels = tl.exp2(bits)
    level = tl.floor(channel * levels)
    return tl.minimum(tl.maximum(level, 0.0), levels - 1) / levels


@triton.jit
def _toned(
    plane, red, green, blue, kind, amount, y, x, there, size,
    SIDE: tl.constexpr, RGB: tl.constexpr,
):  # fmt: skip
    """An operation that leaves pixels where they are, or none."""
    if kind == AUTOCONTRAST:
        red = _autocontrast(red, there)
        if RGB:
            green = _autocontrast(green, there)
            blue = _autocontrast(blue, there)
    elif kind == EQUALIZE:
        red = _equalize(red, there, size, SIDE)
        if RGB:
            green = _equalize(green, there, size, SIDE)
            blue = _equalize(blue, there, size, SIDE)
    elif kind == BRIGHTNESS:
        red = within(red * amount)
        green = within(green * amount)
        blue = within(blue * amount)
    elif kind == CONTRAST:
        seen = tl.where(there, luminance(red, green, blue, RGB), 0.0)
        mean = whole_sum(seen) / (size * size)
        red, green, blue = blended(red, green, blue, mean, amount)
    else:
        red, green, blue = _toned_locally(plane, red, green, blue, kind, amount, y, x, size, RGB)
    return red, green, blue


@triton.jit
def _toned_locally(plane, red, green, blue, kind, amount, y, x, size, RGB: tl.constexpr):
    """One that looks at each pixel, or at its neighbours."""
    if kind == SHARPNESS:
        red = _sharpened(plane, red, amount, y, x, size)
        if RGB:
            green = _sharpened(plane + size * size, green, amount, y, x, size)
            blue = _sharpened(plane + 2 * size * size, blue, amount, y, x, size)
    elif kind == POSTERIZE:
        red = _posterized(red, amount)
        green = _posterized(green, amount)
        blue = _posterized(blue, amount)
    elif kind == SOLARIZE:
        red = tl.where(red >= amount, 1 - red, red)
        green = tl.where(green >= amount, 1 - green, green)
        blue = tl.where(blue >= amount, 1 - blue, blue)
    elif kind == COLOUR:
        if RGB:
            red, green, blue = blended(red, green, blue, luminance(red, green, blue, RGB), amount)
    return red, green, blue


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


@triton.jit(do_not_specialize=["size"])
def operation_kernel(
    source, boxes, operations, packed, out, new_boxes, cutout_side, size, planes, stride_o, stride_p,
    SIDE: tl.constexpr, RGB: tl.constexpr, CUTS_OUT: tl.constexpr,
) -> None:  # fmt: skip
    """One operation of each view: float32 [B, C, size, size] -> the same; ``operations`` hold its kind and amount."""
    row, channel, y, x = tile_coordinates(size, planes, SIDE, SIDE)
    kind = tl.load(operations + row * stride_o).to(tl.int32)
    amount = tl.load(operations + row * stride_o + 1)
    there = inside(y, x, size)
    area = size * size
    offset = plane_offset(row, channel, planes, size, RGB)
    plane = source + offset
    xx, xy, x0, yx, yy, y0 = _lines(kind, amount)
    if channel == 0:
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
        red, green, blue = _toned(
            plane, red, green, blue, kind, amount, y, x, there, size, SIDE, RGB
        )
    store(
        red, green, blue, y, x, there, out + offset, packed + row * stride_p, cutout_side, size,
        RGB, False, CUTS_OUT,
    )  # fmt: skip
