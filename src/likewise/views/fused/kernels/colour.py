"""Colour jitter and grey on a tile, as ``likewise.views.image.colour`` defines them."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.layout import FACTORS, GREY, ORDER
from likewise.views.fused.kernels.tile import tile_count, within
from likewise.views.image import colour

RED = tl.constexpr(colour.RED)
GREEN = tl.constexpr(colour.GREEN)
BLUE = tl.constexpr(colour.BLUE)
BRIGHTEN, CONTRAST, SATURATE, SHIFT_HUE = (tl.constexpr(index) for index in range(4))
CHANGES = tl.constexpr(len(colour.COLOUR_OPS))


@triton.jit
def coloured(
    red, green, blue, parameters, sums, there, size,
    TILES: tl.constexpr, RGB: tl.constexpr, WHOLE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:  # fmt: skip
    """``colour.jitter``, then ``colour.grey``."""
    for turn in range(CHANGES):
        change, factor = change_at(parameters, turn)
        if change == CONTRAST:
            mean = _mean_luminance(red, green, blue, sums, there, size, TILES, RGB, WHOLE)
            red, green, blue = blended(red, green, blue, mean, factor)
        else:
            red, green, blue = changed(red, green, blue, change, factor, RGB)
    if RGB:
        if tl.load(parameters + GREY) != 0:
            red = luminance(red, green, blue, RGB)
            green = red
            blue = red
    return red, green, blue


@triton.jit
def change_at(parameters, turn) -> tuple[tl.tensor, tl.tensor]:
    """Which of ``colour.COLOUR_OPS`` has a turn, and its factor; -1 for none, with a factor that is not used."""
    change = tl.load(parameters + ORDER + turn).to(tl.int32)
    factor = tl.load(parameters + FACTORS + tl.maximum(change, 0))
    return change, factor


@triton.jit
def changed(
    red, green, blue, change, factor, RGB: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """One of ``colour.COLOUR_OPS`` that looks at each pixel alone, so any but contrast, or nothing at -1."""
    if change == BRIGHTEN:
        red = within(red * factor)
        green = within(green * factor)
        blue = within(blue * factor)
    elif RGB:
        if change == SATURATE:
            red, green, blue = blended(red, green, blue, luminance(red, green, blue, RGB), factor)
        elif change == SHIFT_HUE:
            red, green, blue = _hue_shifted(red, green, blue, factor)
    return red, green, blue


@triton.jit
def luminance(red, green, blue, RGB: tl.constexpr) -> tl.tensor:
    """``colour.luminance``; a channel alone is its own."""
    if RGB:
        return red * RED + green * GREEN + blue * BLUE
    else:
        return red


@triton.jit
def whole_sum(values) -> tl.tensor:
    """Of a tile [ROWS, COLUMNS]: one number."""
    return tl.sum(values)


@triton.jit
def _mean_luminance(
    red, green, blue, sums, there, size,
    TILES: tl.constexpr, RGB: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Over the view: from the tile, if it is all of it, or from the ``sums`` of all tiles."""
    if WHOLE:
        total = whole_sum(tl.where(there, luminance(red, green, blue, RGB), 0.0))
    else:
        tiles = tile_count(size, red.shape[0], red.shape[1])
        first = tl.program_id(0) // tiles * tiles
        tile = tl.arange(0, TILES)
        total = tl.sum(tl.load(sums + first + tile, mask=tile < tiles, other=0.0), 0)
    return total / (size * size)


@triton.jit
def _hue_shifted(red, green, blue, turn):
    """``colour.shift_hue``."""
    least = tl.minimum(tl.minimum(red, green), blue)
    greatest = tl.maximum(tl.maximum(red, green), blue)
    chroma = greatest - least
    # A square of a root takes two instructions, a division eight.
    root = tl.rsqrt(tl.maximum(chroma, 1e-12))
    per_chroma = root * root
    by_red = (green - blue) * per_chroma
    by_green = (blue - red) * per_chroma + 2
    by_blue = (red - green) * per_chroma + 4
    hue = tl.where(greatest == green, by_green, by_blue)
    hue = tl.where(greatest == red, by_red, hue) + turn * 6
    hue = hue - 6 * tl.floor(hue * (1 / 6))
    red = least + within(tl.abs(hue - 3) - 1) * chroma
    green = least + within(2 - tl.abs(hue - 2)) * chroma
    blue = least + within(2 - tl.abs(hue - 4)) * chroma
    return red, green, blue


@triton.jit
def blended(red, green, blue, other, factor) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """``colour._blend``."""
    other = other * (1 - factor)
    red = within(red * factor + other)
    green = within(green * factor + other)
    blue = within(blue * factor + other)
    return red, green, blue
