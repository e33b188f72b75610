"""Gaussian blur of a tile, and the two kernels that blur larger views along one axis each."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.layout import BLURRED, SAYS_ORDER, SIGMA
from likewise.views.fused.kernels.tile import (
    inside,
    plane_offset,
    store,
    target_offset,
    tile_coordinates,
    within,
)


@triton.jit
def all_blurred(
    planes, red, green, blue, y, x, there, size, parameters,
    RADIUS: tl.constexpr, TAPS: tl.constexpr, RGB: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:  # fmt: skip
    """A whole view's channels. Threads pass them to each other through ``planes``, the program's own."""
    sigma = tl.load(parameters + SIGMA)
    set_aside(planes, red, green, blue, y, x, there, size, RGB)
    tl.debug_barrier()
    red, green, blue = _line_sums(planes, y, x, size, sigma, RADIUS, TAPS, RGB, False)
    tl.debug_barrier()
    set_aside(planes, red, green, blue, y, x, there, size, RGB)
    tl.debug_barrier()
    red, green, blue = _line_sums(planes, y, x, size, sigma, RADIUS, TAPS, RGB, True)
    tl.debug_barrier()
    return within(red), within(green), within(blue)


@triton.jit
def set_aside(planes, red, green, blue, y, x, there, size, RGB: tl.constexpr) -> None:
    """A tile into planes [size, size], in float32."""
    pointers = planes + (y * size)[:, None] + x[None, :]
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    tl.store(pointers, red, mask=there)
    if RGB:
        tl.store(pointers + size * size, green, mask=there)
        tl.store(pointers + 2 * size * size, blue, mask=there)


@triton.jit(do_not_specialize=["unblurred", "half_blurred"])
def across_kernel(
    packed, unblurred, half_blurred, size: tl.constexpr, planes, stride_p,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RADIUS: tl.constexpr, TAPS: tl.constexpr,
    RGB: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of a view that is blurred, blurred along its lines; other rows are left."""
    row, channel, y, x = tile_coordinates(planes, size, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    if tl.load(parameters + BLURRED) != 0:
        plane = plane_offset(row, channel, planes, size, RGB)
        sigma = tl.load(parameters + SIGMA)
        red, green, blue = _line_sums(
            unblurred + plane, y, x, size, sigma, RADIUS, TAPS, RGB, False
        )
        there = inside(y, x, size, ROWS, COLUMNS)
        set_aside(half_blurred + plane, red, green, blue, y, x, there, size, RGB)


@triton.jit(do_not_specialize=["half_blurred", "out"])
def down_kernel(
    packed, half_blurred, out, normalisation, cutout_side, size: tl.constexpr, planes, stride_p,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RADIUS: tl.constexpr, TAPS: tl.constexpr,
    RGB: tl.constexpr, SOLARIZES: tl.constexpr, CUTS_OUT: tl.constexpr, FOR_ENCODER: tl.constexpr,
) -> None:  # fmt: skip
    """The same tile blurred along its columns too, and finished."""
    row, channel, y, x = tile_coordinates(planes, size, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    if tl.load(parameters + BLURRED) != 0:
        plane = plane_offset(row, channel, planes, size, RGB)
        sigma = tl.load(parameters + SIGMA)
        red, green, blue = _line_sums(
            half_blurred + plane, y, x, size, sigma, RADIUS, TAPS, RGB, True
        )
        channels = 3 if RGB else planes
        target = out + target_offset(row, channel, channels, planes, size, RGB, FOR_ENCODER)
        store(
            within(red), within(green), within(blue), y, x, inside(y, x, size, ROWS, COLUMNS), target,
            parameters, cutout_side, size, normalisation + 2 * channel, channels,
            RGB, SOLARIZES, CUTS_OUT, FOR_ENCODER,
        )  # fmt: skip


@triton.jit
def _line_sums(
    planes, y, x, size, sigma,
    RADIUS: tl.constexpr, TAPS: tl.constexpr, RGB: tl.constexpr, DOWN: tl.constexpr,
):  # fmt: skip
    """``blur.gaussian_blur`` along an axis, without the taps beyond six sigma, which weigh less than 1e-7."""
    # Pixels beyond the view are those of its edge, so that no load needs a mask.
    y = tl.minimum(y, size - 1)
    x = tl.minimum(x, size - 1)
    red, green, blue = _at(planes, y, x, size, RGB)
    reach = tl.minimum(tl.ceil(6 * sigma).to(tl.int32), RADIUS)
    for offset in range(1, reach + 1):
        scaled = offset / sigma
        weight = tl.exp(-0.5 * scaled * scaled)
        for side in tl.static_range(2):
            shift = offset - 2 * offset * side
            line = y
            column = x
            if DOWN:
                line = _reflected(y + shift, size)
            else:
                column = _reflected(x + shift, size)
            its_red, its_green, its_blue = _at(planes, line, column, size, RGB)
            red += weight * its_red
            if RGB:
                green += weight * its_green
                blue += weight * its_blue
    scale = 1 / _gaussian_total(sigma, RADIUS, TAPS)
    return red * scale, green * scale, blue * scale


@triton.jit
def _at(planes, line, column, size, RGB: tl.constexpr):
    """Pixels of planes [size, size]; a channel alone stands for all three."""
    offsets = (line * size)[:, None] + column[None, :]
    area = size * size
    red = _loaded(planes, offsets)
    if RGB:
        return red, _loaded(planes + area, offsets), _loaded(planes + 2 * area, offsets)
    else:
        return red, red, red


@triton.jit
def _loaded(plane, offsets):
    pointers = plane + offsets
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    return tl.load(pointers)


@triton.jit
def _reflected(index, size):
    """Reflect an index beyond the border, as ``blur.blur_matrix`` does."""
    index = tl.abs(index)
    return tl.maximum(tl.minimum(index, 2 * (size - 1) - index), 0)


@triton.jit
def _gaussian(offset, sigma, RADIUS: tl.constexpr):
    """Zero beyond the radius, and not divided by its sum."""
    scaled = offset.to(tl.float32) / sigma
    return tl.where(tl.abs(offset) <= RADIUS, tl.exp(-0.5 * scaled * scaled), 0.0)


@triton.jit
def _gaussian_total(sigma, RADIUS: tl.constexpr, TAPS: tl.constexpr):
    """The sum over all taps; TAPS is a power of two above 2 * RADIUS."""
    return tl.sum(_gaussian(tl.arange(0, TAPS) - RADIUS, sigma, RADIUS), 0)
