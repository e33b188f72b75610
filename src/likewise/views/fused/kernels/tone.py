"""Operations of RandAugment that leave pixels where they are, as ``likewise.views.image.tone`` defines them.

Where a program holds a tile of a larger view, `statistics_kernel` has found before what some of them have to know of
all pixels.
"""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.colour import blended, luminance, whole_sum
from likewise.views.fused.kernels.layout import SAYS_ORDER
from likewise.views.fused.kernels.tile import within
from likewise.views.image import tone
from likewise.views.image.random_ops import OPERATIONS

KINDS = {name: tl.constexpr(number) for number, name in enumerate(OPERATIONS)}
AUTOCONTRAST = KINDS["autocontrast"]
EQUALIZE = KINDS["equalize"]
BRIGHTNESS = KINDS["brightness"]
COLOUR = KINDS["colour"]
CONTRAST = KINDS["contrast"]
SHARPNESS = KINDS["sharpness"]
POSTERIZE = KINDS["posterize"]
SOLARIZE = KINDS["solarize"]
LEVELS = tl.constexpr(tone.LEVELS)
"""Numbers of the operations, by name."""


@triton.jit(do_not_specialize=["size"])
def statistics_kernel(
    source, kinds, statistics, size, planes, stride_k, BLOCK: tl.constexpr, RGB: tl.constexpr
) -> None:  # fmt: skip
    """What an operation has to know of a plane of [B, C, size, size], into the plane's row of [B * C, LEVELS].

    The least and the greatest value for autocontrast, each level's new value for equalize, and the mean luminance for
    contrast, which is in the row of the first plane.
    """
    number = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    kind = tl.load(kinds + tl.program_id(0) // planes * stride_k).to(tl.int32)
    area = size * size
    plane = source + number * area
    found = statistics + number * LEVELS
    if kind == AUTOCONTRAST:
        least = tl.full([BLOCK], 2.0, tl.float32)
        greatest = tl.full([BLOCK], -1.0, tl.float32)
        for start in range(0, area, BLOCK):
            pixel = start + tl.arange(0, BLOCK)
            least = tl.minimum(least, tl.load(plane + pixel, mask=pixel < area, other=2.0))
            greatest = tl.maximum(greatest, tl.load(plane + pixel, mask=pixel < area, other=-1.0))
        tl.store(found, tl.min(least, 0))
        tl.store(found + 1, tl.max(greatest, 0))
    elif kind == EQUALIZE:
        counts = tl.zeros([LEVELS], tl.int32)
        for start in range(0, area, BLOCK):
            pixel = start + tl.arange(0, BLOCK)
            value = tl.load(plane + pixel, mask=pixel < area, other=0.0)
            counts += tl.histogram(_level(value), LEVELS)
        outside = tl.cdiv(area, BLOCK) * BLOCK - area
        tl.store(found + tl.arange(0, LEVELS), _spread(counts, outside, area))
    elif kind == CONTRAST:
        if tl.program_id(1) == 0:
            total = tl.zeros([BLOCK], tl.float32)
            for start in range(0, area, BLOCK):
                pixel = start + tl.arange(0, BLOCK)
                there = pixel < area
                red = tl.load(plane + pixel, mask=there, other=0.0)
                green = tl.load(plane + area + pixel, mask=there, other=0.0) if RGB else red
                blue = tl.load(plane + 2 * area + pixel, mask=there, other=0.0) if RGB else red
                total += luminance(red, green, blue, RGB)
            tl.store(found, tl.sum(total, 0) / area)


@triton.jit
def _autocontrast(channel, there, statistics, WHOLE: tl.constexpr):
    """``tone.autocontrast``."""
    if WHOLE:
        least = tl.min(tl.min(tl.where(there, channel, 2.0), 1), 0)
        greatest = tl.max(tl.max(tl.where(there, channel, -1.0), 1), 0)
    else:
        least = tl.load(statistics)
        greatest = tl.load(statistics + 1)
    flat = least == greatest
    offset = tl.where(flat, 0.0, least)
    span = tl.where(flat, 1.0, greatest - least)
    return within((channel - offset) / span)


@triton.jit
def _equalize(channel, there, statistics, size, SIDE: tl.constexpr, WHOLE: tl.constexpr):
    """``tone.equalize``."""
    if WHOLE:
        levels = tl.reshape(_level(channel), [SIDE * SIDE])
        seen = tl.reshape(there.to(tl.int32), [SIDE * SIDE]) != 0
        # Pixels outside the view are counted as 0, and then taken off.
        counts = tl.histogram(tl.where(seen, levels, 0), LEVELS)
        table = _spread(counts, SIDE * SIDE - size * size, size * size)
        return tl.reshape(tl.gather(table, levels, 0), [SIDE, SIDE])
    else:
        return tl.load(statistics + _level(channel))


@triton.jit
def _level(channel):
    """Which of the levels, from 0 on."""
    level = (channel * (LEVELS - 1e-3)).to(tl.int32)
    return tl.minimum(tl.maximum(level, 0), LEVELS - 1)


@triton.jit
def _spread(counts, outside, area):
    """The new value of each level, from how many of a channel's pixels have it, and ``outside`` counted as 0."""
    level = tl.arange(0, LEVELS)
    counts = counts - tl.where(level == 0, outside, 0)
    brightest = tl.max(tl.where(counts > 0, level, 0), 0)
    of_brightest = tl.sum(tl.where(level == brightest, counts, 0), 0)
    per_level = (area - of_brightest) // (LEVELS - 1)
    below = tl.cumsum(counts, 0) - counts
    table = tl.minimum((below + per_level // 2) // tl.maximum(per_level, 1), LEVELS - 1)
    return tl.where(per_level > 0, table, level).to(tl.float32) / (LEVELS - 1)


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
def toned(
    plane, red, green, blue, kind, amount, y, x, there, statistics, size,
    SIDE: tl.constexpr, RGB: tl.constexpr, WHOLE: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:  # fmt: skip
    """An operation that leaves pixels where they are, or none."""
    if kind == AUTOCONTRAST:
        red = _autocontrast(red, there, statistics, WHOLE)
        if RGB:
            green = _autocontrast(green, there, statistics + LEVELS, WHOLE)
            blue = _autocontrast(blue, there, statistics + 2 * LEVELS, WHOLE)
    elif kind == EQUALIZE:
        red = _equalize(red, there, statistics, size, SIDE, WHOLE)
        if RGB:
            green = _equalize(green, there, statistics + LEVELS, size, SIDE, WHOLE)
            blue = _equalize(blue, there, statistics + 2 * LEVELS, size, SIDE, WHOLE)
    elif kind == BRIGHTNESS:
        red = within(red * amount)
        green = within(green * amount)
        blue = within(blue * amount)
    elif kind == CONTRAST:
        if WHOLE:
            seen = tl.where(there, luminance(red, green, blue, RGB), 0.0)
            mean = whole_sum(seen) / (size * size)
        else:
            mean = tl.load(statistics)
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
