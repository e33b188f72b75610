"""Gaussian blur of a tile, and the two kernels that blur larger views along one axis each."""

# What Triton's compiler reads is not typed Python: a tile is no Tensor, and a flag decides which names exist.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false, reportArgumentType=false
from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.layout import BLURRED, NOT_SPECIALIZED, SAYS_ORDER, SIGMA
from likewise.views.fused.kernels.tile import inside, plane_offset, store, tile_coordinates, within


@triton.jit
def all_blurred(
    red, green, blue, y, x, size, parameters,
    RADIUS: tl.constexpr, TAPS: tl.constexpr, RGB: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:  # fmt: skip
    """A whole view's channels."""
    sigma = tl.load(parameters + SIGMA)
    total = _gaussian_total(sigma, RADIUS, TAPS)
    down = _reflected_gaussian(y[None, :], y[:, None], size, sigma, total, RADIUS)
    across = _reflected_gaussian(x[:, None], x[None, :], size, sigma, total, RADIUS)
    red = _blurred(red, down, across)
    if RGB:
        green = _blurred(green, down, across)
        blue = _blurred(blue, down, across)
    return red, green, blue


@triton.jit
def set_aside(plane, red, green, blue, y, x, there, size, RGB: tl.constexpr) -> None:
    """A tile into planes [size, size], in float32, for `across_kernel`."""
    pointers = plane + (y * size)[:, None] + x[None, :]
    tl.store(pointers, red, mask=there)
    if RGB:
        tl.store(pointers + size * size, green, mask=there)
        tl.store(pointers + 2 * size * size, blue, mask=there)


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def across_kernel(
    packed, unblurred, half_blurred, size, channels, stride_p,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RADIUS: tl.constexpr, TAPS: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of one channel of a view that is blurred, blurred along its lines; other rows are left."""
    row, channel, y, x = tile_coordinates(size, channels, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    if tl.load(parameters + BLURRED) != 0:
        plane = plane_offset(row, channel, channels, size, False)
        sigma = tl.load(parameters + SIGMA)
        value = _line_sums(unblurred + plane, y, x, size, sigma, RADIUS, TAPS, False)
        pointers = half_blurred + plane + (y * size)[:, None] + x[None, :]
        tl.store(pointers, value, mask=inside(y, x, size))


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def down_kernel(
    packed, half_blurred, out, cutout_side, size, channels, stride_p,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RADIUS: tl.constexpr, TAPS: tl.constexpr,
    CUTS_OUT: tl.constexpr,
) -> None:  # fmt: skip
    """The same tile blurred along its columns too, and finished."""
    row, channel, y, x = tile_coordinates(size, channels, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    if tl.load(parameters + BLURRED) != 0:
        plane = plane_offset(row, channel, channels, size, False)
        sigma = tl.load(parameters + SIGMA)
        sums = _line_sums(half_blurred + plane, y, x, size, sigma, RADIUS, TAPS, True)
        value = within(sums)
        there = inside(y, x, size)
        store(
            value, value, value, y, x, there, out + plane, parameters, cutout_side, size,
            False, True, CUTS_OUT,
        )  # fmt: skip


@triton.jit
def _line_sums(
    plane, y, x, size, sigma,
    RADIUS: tl.constexpr, TAPS: tl.constexpr, DOWN: tl.constexpr,
):  # fmt: skip
    """``blur.gaussian_blur`` along an axis, without the taps beyond six sigma, which weigh less than 1e-7."""
    value = _at(plane, y, x, 0, size, DOWN)
    reach = tl.minimum(tl.ceil(6 * sigma).to(tl.int32), RADIUS)
    for offset in range(1, reach + 1):
        scaled = offset / sigma
        weight = tl.exp(-0.5 * scaled * scaled)
        after = _at(plane, y, x, offset, size, DOWN)
        before = _at(plane, y, x, -offset, size, DOWN)
        value += weight * (after + before)
    return value / _gaussian_total(sigma, RADIUS, TAPS)


@triton.jit
def _at(plane, y, x, offset, size, DOWN: tl.constexpr):
    """A plane [size, size] so many lines down, or columns across."""
    line = _reflected(y, size)
    column = _reflected(x, size)
    if DOWN:
        line = _reflected(y + offset, size)
    else:
        column = _reflected(x + offset, size)
    pointers = plane + (line * size)[:, None] + column[None, :]
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    return tl.load(pointers)


@triton.jit
def _reflected(index, size):
    """Reflect an index beyond the border, as ``blur.blur_matrix`` does; one farther out is clamped to the edge."""
    index = tl.abs(index)
    index = tl.where(index >= size, 2 * (size - 1) - index, index)
    return tl.minimum(tl.maximum(index, 0), size - 1)


@triton.jit
def _blurred(channel, down, across):
    """``blur.gaussian_blur``: down [rows, sources] @ channel @ across [sources, columns], in float32 all but so."""
    lines = tl.dot(channel, across, input_precision="tf32x3")
    return within(tl.dot(down, lines, input_precision="tf32x3"))


@triton.jit
def _reflected_gaussian(source, target, size, sigma, total, RADIUS: tl.constexpr):
    """``blur.blur_matrix``: how much of each source goes into each target along an axis, borders reflected."""
    inside = (source >= 0) & (source < size)
    weight = _gaussian(source - target, sigma, RADIUS)
    weight += tl.where(source > 0, _gaussian(source + target, sigma, RADIUS), 0.0)
    beyond = 2 * (size - 1) - source - target
    weight += tl.where(source < size - 1, _gaussian(beyond, sigma, RADIUS), 0.0)
    return tl.where(inside, weight / total, 0.0)


@triton.jit
def _gaussian(offset, sigma, RADIUS: tl.constexpr):
    """Zero beyond the radius, and not divided by its sum."""
    scaled = offset.to(tl.float32) / sigma
    return tl.where(tl.abs(offset) <= RADIUS, tl.exp(-0.5 * scaled * scaled), 0.0)


@triton.jit
def _gaussian_total(sigma, RADIUS: tl.constexpr, TAPS: tl.constexpr):
    """The sum over all taps; TAPS is a power of two above 2 * RADIUS."""
    return tl.sum(_gaussian(tl.arange(0, TAPS) - RADIUS, sigma, RADIUS), 0)
