"""The GPU kernels behind `likewise.views.fused.views`; imported late, since they need Triton.

Nothing is random here: a row of `packing` says everything about a view. What each function computes is defined, in
PyTorch, by the function of ``likewise.views.image`` that it names; the two differ by rounding.

A program makes a tile [ROWS, COLUMNS] of one view. Of an RGB image it holds the three channels, as colours need them
all; of any other image it makes one channel. A small view is a single tile (WHOLE): then contrast's mean, and up to a
size the blur, stay inside the program. A larger one takes `sum_kernel` for contrast's mean, `view_kernel`,
and for the rows that are blurred `across_kernel` and `down_kernel`.
"""

# What Triton's compiler reads is not typed Python: a tile is no Tensor, and a flag decides which names exist.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false, reportArgumentType=false
from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused import boxes, packing
from likewise.views.image import colour
from likewise.views.image.random_ops import GREY as LEFT_EMPTY

RED, GREEN, BLUE = tl.constexpr(colour.RED), tl.constexpr(colour.GREEN), tl.constexpr(colour.BLUE)
BRIGHTEN, CONTRAST, SATURATE, SHIFT_HUE = (tl.constexpr(index) for index in range(4))
CHANGES = tl.constexpr(len(colour.COLOUR_OPS))
EMPTY = tl.constexpr(LEFT_EMPTY)

EXTENT_X, CENTRE_X, EXTENT_Y, CENTRE_Y = (tl.constexpr(index) for index in (0, 2, 4, 5))
BOX = tl.constexpr(6)  # numbers of a box
TRIES = tl.constexpr(boxes.TRIES)
FACTORS, ORDER = tl.constexpr(packing.FACTORS), tl.constexpr(packing.ORDER)
GREY, BLURRED = tl.constexpr(packing.GREY), tl.constexpr(packing.BLURRED)
SIGMA, SOLARIZED = tl.constexpr(packing.SIGMA), tl.constexpr(packing.SOLARIZED)
CUTOUT, CHANNEL_FACTORS = tl.constexpr(packing.CUTOUT), tl.constexpr(packing.CHANNEL_FACTORS)

SAYS_ORDER = tl.constexpr(tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 8))
"""Whether Triton needs a hint that neighbouring threads read neighbouring columns.

Where it sees no contiguous addresses, 3.6 lets them read neighbouring lines, which at 224 pixels took 7 times as long.
A hint of two contiguous addresses turns that round. It changes nothing else as long as Triton knows nothing of how
addresses are aligned (NOT_SPECIALIZED), since it then loads and stores each number alone.
"""

NOT_SPECIALIZED = [
    *("size", "height", "width", "stride_b", "stride_c", "stride_h", "stride_w"),
    *("out_b", "out_c", "out_h", "out_w"),
]
"""Numbers for which Triton does not compile a kernel of its own where they are 1 or divisible by 16."""


@triton.jit
def _within(value):
    """Clamped to [0, 1]."""
    return tl.minimum(tl.maximum(value, 0.0), 1.0)


@triton.jit
def _taps(index, extent, centre, pixels, size, SHRINKS: tl.constexpr):
    """Per pixel of an axis: its position in the image, the first pixel of the filter, and the filter's reach.

    ``crop.filter_taps`` where views may shrink, else the bilinear gather of ``crop._enlarge`` written as such taps.
    """
    pixels = pixels.to(tl.float32)
    target = (index * 2 + 1).to(tl.float32) / size - 1
    if SHRINKS:
        half = pixels * 0.5
        wanted = (centre + 1) * half + extent * (target * half)
        reach = tl.maximum(tl.abs(extent) * (pixels / size), 1.0)
        first = tl.floor(wanted - reach + 0.5)
    else:
        inner = tl.maximum(tl.abs(extent) - 1 / pixels, 0.0)
        seen = tl.minimum(tl.maximum(target * extent, -inner), inner) + centre
        position = tl.minimum(tl.maximum(((seen + 1) * pixels - 1) * 0.5, 0.0), pixels - 1)
        wanted = position + 0.5
        reach = tl.abs(extent) * 0 + 1
        first = tl.floor(position)
    return wanted, first, reach


@triton.jit
def _tap(tap, wanted, first, reach, extent, centre, pixels, SHRINKS: tl.constexpr):
    """The pixel and the weight of one tap of each pixel; weights do not add up to one where views shrink."""
    index = first + tap
    weight = tl.maximum(1 - tl.abs(index + 0.5 - wanted) / reach, 0.0)
    if SHRINKS:
        half = pixels.to(tl.float32) * 0.5
        inside = tl.abs(extent) * half + 0.5 - tl.abs(index + 0.5 - (centre + 1) * half)
        weight = weight * _within(inside)
    index = index.to(tl.int32)
    return tl.minimum(tl.maximum(index, 0), pixels - 1), weight


@triton.jit
def _crop(
    image, box, y, x, size, height, width, stride_c, stride_h, stride_w,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RGB: tl.constexpr, SHRINKS: tl.constexpr,
):  # fmt: skip
    """``crop.resample``: the channels at pixels y [ROWS] and x [COLUMNS] of the view, in [0, 1]."""
    extent_x, centre_x = tl.load(box + EXTENT_X), tl.load(box + CENTRE_X)
    extent_y, centre_y = tl.load(box + EXTENT_Y), tl.load(box + CENTRE_Y)
    # Pixels beyond the view are read as its last ones, so that no load needs a mask.
    y, x = tl.minimum(y, size - 1), tl.minimum(x, size - 1)
    wanted_y, first_y, reach_y = _taps(y, extent_y, centre_y, height, size, SHRINKS)
    wanted_x, first_x, reach_x = _taps(x, extent_x, centre_x, width, size, SHRINKS)
    # Two taps by two at a time, so that twelve loads are under way; a tap too many weighs nothing.
    pairs_y = 1
    pairs_x = 1
    if SHRINKS:
        pairs_y = tl.ceil(reach_y).to(tl.int32)
        pairs_x = tl.ceil(reach_x).to(tl.int32)
    red = tl.zeros([ROWS, COLUMNS], tl.float32)
    green = red
    blue = red
    for pair_y in range(pairs_y):
        for pair_x in range(pairs_x):
            for part in tl.static_range(4):
                down, across = 2 * pair_y + part // 2, 2 * pair_x + part % 2
                line, weight_y = _tap(down, wanted_y, first_y, reach_y, extent_y, centre_y, height, SHRINKS)
                column, weight_x = _tap(across, wanted_x, first_x, reach_x, extent_x, centre_x, width, SHRINKS)
                pointers = image + (line * stride_h)[:, None] + (column * stride_w)[None, :]
                if SAYS_ORDER:
                    pointers = tl.max_contiguous(pointers, [1, 2])
                weight = weight_y[:, None] * weight_x[None, :]
                red += weight * tl.load(pointers).to(tl.float32)
                if RGB:
                    green += weight * tl.load(pointers + stride_c).to(tl.float32)
                    blue += weight * tl.load(pointers + 2 * stride_c).to(tl.float32)
    red, green, blue = red * (1.0 / 255), green * (1.0 / 255), blue * (1.0 / 255)
    if SHRINKS:
        sum_y = tl.zeros([ROWS], tl.float32)
        for down in range(2 * pairs_y):
            _, weight_y = _tap(down, wanted_y, first_y, reach_y, extent_y, centre_y, height, SHRINKS)
            sum_y += weight_y
        sum_x = tl.zeros([COLUMNS], tl.float32)
        for across in range(2 * pairs_x):
            _, weight_x = _tap(across, wanted_x, first_x, reach_x, extent_x, centre_x, width, SHRINKS)
            sum_x += weight_x
        scale = (1 / sum_y)[:, None] * (1 / sum_x)[None, :]
        red, green, blue = red * scale, green * scale, blue * scale
    return tl.minimum(red, 1.0), tl.minimum(green, 1.0), tl.minimum(blue, 1.0)


@triton.jit
def _luminance(red, green, blue, RGB: tl.constexpr):
    """``colour.luminance``; a channel alone is its own."""
    if RGB:
        return red * RED + green * GREEN + blue * BLUE
    else:
        return red


@triton.jit
def _hue_shifted(red, green, blue, turn):
    """``colour.shift_hue``."""
    least = tl.minimum(tl.minimum(red, green), blue)
    greatest = tl.maximum(tl.maximum(red, green), blue)
    chroma = greatest - least
    per_chroma = 1 / tl.maximum(chroma, 1e-12)
    by_red = (green - blue) * per_chroma
    by_green = (blue - red) * per_chroma + 2
    by_blue = (red - green) * per_chroma + 4
    hue = tl.where(greatest == red, by_red, tl.where(greatest == green, by_green, by_blue)) + turn * 6
    hue = hue - 6 * tl.floor(hue * (1 / 6))
    red = least + _within(tl.abs(hue - 3) - 1) * chroma
    green = least + _within(2 - tl.abs(hue - 2)) * chroma
    blue = least + _within(2 - tl.abs(hue - 4)) * chroma
    return red, green, blue


@triton.jit
def _blended(red, green, blue, other, factor):
    """``colour._blend``."""
    other = other * (1 - factor)
    return _within(red * factor + other), _within(green * factor + other), _within(blue * factor + other)


@triton.jit
def _changed(red, green, blue, change, factor, mean, RGB: tl.constexpr):
    """One of ``colour.COLOUR_OPS``, or nothing at -1; ``mean`` is contrast's."""
    if change == BRIGHTEN:
        red, green, blue = _within(red * factor), _within(green * factor), _within(blue * factor)
    elif change == CONTRAST:
        red, green, blue = _blended(red, green, blue, mean, factor)
    elif RGB:
        if change == SATURATE:
            red, green, blue = _blended(red, green, blue, _luminance(red, green, blue, RGB), factor)
        elif change == SHIFT_HUE:
            red, green, blue = _hue_shifted(red, green, blue, factor)
    return red, green, blue


@triton.jit
def _reflected_gaussian(source, target, size, sigma, total, RADIUS: tl.constexpr):
    """``blur.blur_matrix``: how much of each source goes into each target along an axis, borders reflected."""
    inside = (source >= 0) & (source < size)
    weight = _gaussian(source - target, sigma, RADIUS)
    weight += tl.where(source > 0, _gaussian(source + target, sigma, RADIUS), 0.0)
    weight += tl.where(source < size - 1, _gaussian(2 * (size - 1) - source - target, sigma, RADIUS), 0.0)
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


@triton.jit
def _blurred(channel, down, across):
    """``blur.gaussian_blur``: down [rows, sources] @ channel @ across [sources, columns], in float32 all but so."""
    lines = tl.dot(channel, across, input_precision="tf32x3")
    return _within(tl.dot(down, lines, input_precision="tf32x3"))


@triton.jit
def _finished(channel, threshold, hidden, COLOURED: tl.constexpr, CUTS_OUT: tl.constexpr):
    """``colour.solarize`` and ``random_ops.cut_out``."""
    if COLOURED:
        channel = tl.where(channel >= threshold, 1 - channel, channel)
    if CUTS_OUT:
        channel = tl.where(hidden, EMPTY, channel)
    return channel


@triton.jit
def _hidden_along(index, centre, side, size):
    """Which pixels of an axis are inside the square of ``random_ops.cut_out``."""
    pixel_centre = (index.to(tl.float32) + 0.5) / size
    return tl.floor((pixel_centre - centre + side * 0.5) / side) == 0


@triton.jit
def _store(
    red, green, blue, y, x, there, out, out_c, out_h, out_w, mean, std, channel, parameters, cutout_side, size,
    RGB: tl.constexpr, COLOURED: tl.constexpr, CUTS_OUT: tl.constexpr, NORMALISED: tl.constexpr,
):  # fmt: skip
    """The last changes, and the view into memory, in its dtype and layout."""
    hidden = there
    if CUTS_OUT:
        across = _hidden_along(x, tl.load(parameters + CUTOUT), cutout_side, size)
        hidden = _hidden_along(y, tl.load(parameters + CUTOUT + 1), cutout_side, size)[:, None] & across[None, :]
    threshold = 2.0  # no value reaches it
    if COLOURED:
        threshold = 2.0 - 1.5 * tl.load(parameters + SOLARIZED)
    pointers = out + (y * out_h)[:, None] + (x * out_w)[None, :]
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    value = _finished(red, threshold, hidden, COLOURED, CUTS_OUT)
    if NORMALISED:
        value = (value - tl.load(mean + channel)) / tl.load(std + channel)
    tl.store(pointers, value.to(out.dtype.element_ty), mask=there)
    if RGB:
        value = _finished(green, threshold, hidden, COLOURED, CUTS_OUT)
        if NORMALISED:
            value = (value - tl.load(mean + 1)) / tl.load(std + 1)
        tl.store(pointers + out_c, value.to(out.dtype.element_ty), mask=there)
        value = _finished(blue, threshold, hidden, COLOURED, CUTS_OUT)
        if NORMALISED:
            value = (value - tl.load(mean + 2)) / tl.load(std + 2)
        tl.store(pointers + 2 * out_c, value.to(out.dtype.element_ty), mask=there)


@triton.jit
def _tile_coordinates(size, planes, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """This program's image and channel, and the pixels of its tile."""
    row = tl.program_id(0) // planes
    channel = tl.program_id(0) % planes
    tiles_across = tl.cdiv(size, COLUMNS)
    y = (tl.program_id(1) // tiles_across) * ROWS + tl.arange(0, ROWS)
    x = (tl.program_id(1) % tiles_across) * COLUMNS + tl.arange(0, COLUMNS)
    return row.to(tl.int64), channel, y, x


@triton.jit(do_not_specialize=["least", "greatest", "rows"])
def box_kernel(drawn, aspects, found, least, greatest, rows, ROWS: tl.constexpr) -> None:
    """``crop.boxes``: [B, 2 * TRIES + 3] random numbers and the images' aspects -> [B, 6]."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = row < rows
    numbers = drawn + row * (2 * TRIES + 3)
    aspect = tl.load(aspects + row, mask=there, other=1.0)
    closest = tl.minimum(tl.maximum(aspect, least), greatest) / aspect
    width = tl.minimum(closest, 1.0)
    height = tl.minimum(1 / closest, 1.0)
    for tried in range(TRIES):
        attempt = TRIES - 1 - tried  # the first that fits is met last
        share = tl.load(numbers + attempt, mask=there, other=1.0)
        shape = tl.exp(tl.load(numbers + TRIES + attempt, mask=there, other=0.0)) / aspect
        wide, high = tl.sqrt(share * shape), tl.sqrt(share / shape)
        fits = (wide <= 1) & (high <= 1)
        width = tl.where(fits, wide, width)
        height = tl.where(fits, high, height)
    pointers = found + row * BOX
    mirrored = tl.load(numbers + 2 * TRIES + 2, mask=there, other=0.0)
    nought = tl.zeros([ROWS], tl.float32)
    tl.store(pointers, tl.where(mirrored != 0, -width, width), mask=there)
    tl.store(pointers + 1, nought, mask=there)
    tl.store(pointers + 2, tl.load(numbers + 2 * TRIES, mask=there, other=0.0) * (1 - width), mask=there)
    tl.store(pointers + 3, nought, mask=there)
    tl.store(pointers + 4, height, mask=there)
    tl.store(pointers + 5, tl.load(numbers + 2 * TRIES + 1, mask=there, other=0.0) * (1 - height), mask=there)


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def sum_kernel(
    images, boxes, packed, sums, size, height, width, planes, stride_b, stride_c, stride_h, stride_w, stride_p,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RGB: tl.constexpr, SHRINKS: tl.constexpr, SCALED: tl.constexpr,
) -> None:  # fmt: skip
    """Each tile's sum over the luminance that contrast meets: [B * planes, tiles]. Rows without contrast are left."""
    row, channel, y, x = _tile_coordinates(size, planes, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    before = CHANGES  # how many changes come before contrast
    for turn in range(CHANGES):
        if tl.load(parameters + ORDER + turn).to(tl.int32) == CONTRAST:
            before = tl.minimum(before, turn)
    if before < CHANGES:
        box = boxes + row * BOX
        image = images + row * stride_b + channel * stride_c
        red, green, blue = _crop(
            image, box, y, x, size, height, width, stride_c, stride_h, stride_w, ROWS, COLUMNS, RGB, SHRINKS
        )
        if SCALED:
            red = _within(red * tl.load(parameters + CHANNEL_FACTORS + channel))
        for turn in range(before):
            change = tl.load(parameters + ORDER + turn).to(tl.int32)
            factor = tl.load(parameters + FACTORS + tl.maximum(change, 0))
            red, green, blue = _changed(red, green, blue, change, factor, 0.0, RGB)
        there = (y < size)[:, None] & (x < size)[None, :]
        seen = tl.where(there, _luminance(red, green, blue, RGB), 0.0)
        pointers = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
        tl.store(sums + pointers, tl.sum(tl.sum(seen, 1), 0))


@triton.jit
def _mean_luminance(red, green, blue, sums, there, size, TILES: tl.constexpr, RGB: tl.constexpr, WHOLE: tl.constexpr):
    """Over the view: from the tile, if it is all of it, or from the ``sums`` of all tiles."""
    if WHOLE:
        luminance = tl.where(there, _luminance(red, green, blue, RGB), 0.0)
        total = tl.sum(tl.sum(luminance, 1), 0)
    else:
        tile = tl.arange(0, TILES)
        pointers = sums + tl.program_id(0).to(tl.int64) * tl.num_programs(1) + tile
        total = tl.sum(tl.load(pointers, mask=tile < tl.num_programs(1), other=0.0), 0)
    return total / (size * size)


@triton.jit
def _coloured(
    red, green, blue, parameters, sums, there, size,
    TILES: tl.constexpr, RGB: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """``colour.jitter``, then ``colour.grey``."""
    for turn in range(CHANGES):
        change = tl.load(parameters + ORDER + turn).to(tl.int32)
        factor = tl.load(parameters + FACTORS + tl.maximum(change, 0))
        mean = factor * 0
        if change == CONTRAST:
            mean = _mean_luminance(red, green, blue, sums, there, size, TILES, RGB, WHOLE)
        red, green, blue = _changed(red, green, blue, change, factor, mean, RGB)
    if RGB:
        if tl.load(parameters + GREY) != 0:
            red = _luminance(red, green, blue, RGB)
            green = red
            blue = red
    return red, green, blue


@triton.jit
def _all_blurred(
    red, green, blue, y, x, size, parameters, RADIUS: tl.constexpr, TAPS: tl.constexpr, RGB: tl.constexpr
):  # fmt: skip
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
def _set_aside(plane, red, green, blue, y, x, there, size, RGB: tl.constexpr):
    """A tile into planes [size, size], in float32, for `across_kernel`."""
    pointers = plane + (y * size)[:, None] + x[None, :]
    tl.store(pointers, red, mask=there)
    if RGB:
        tl.store(pointers + size * size, green, mask=there)
        tl.store(pointers + 2 * size * size, blue, mask=there)


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def view_kernel(
    images, boxes, packed, sums, out, unblurred, mean, std, cutout_side, size, height, width, planes,
    stride_b, stride_c, stride_h, stride_w, stride_p, out_b, out_c, out_h, out_w,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, TILES: tl.constexpr, RADIUS: tl.constexpr, TAPS: tl.constexpr,
    RGB: tl.constexpr, SHRINKS: tl.constexpr, SCALED: tl.constexpr, COLOURED: tl.constexpr, BLURS: tl.constexpr,
    CUTS_OUT: tl.constexpr, NORMALISED: tl.constexpr, WHOLE: tl.constexpr, BLURS_HERE: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of a view, finished, but for rows to be blurred by other kernels: theirs goes to ``unblurred``."""
    row, channel, y, x = _tile_coordinates(size, planes, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    box = boxes + row * BOX
    image = images + row * stride_b + channel * stride_c
    there = (y < size)[:, None] & (x < size)[None, :]
    red, green, blue = _crop(
        image, box, y, x, size, height, width, stride_c, stride_h, stride_w, ROWS, COLUMNS, RGB, SHRINKS
    )
    if SCALED:
        red = _within(red * tl.load(parameters + CHANNEL_FACTORS + channel))
    if COLOURED:
        red, green, blue = _coloured(red, green, blue, parameters, sums, there, size, TILES, RGB, WHOLE)
    if BLURS:
        is_blurred = tl.load(parameters + BLURRED).to(tl.int32) != 0
        if BLURS_HERE:
            if is_blurred:
                red, green, blue = _all_blurred(red, green, blue, y, x, size, parameters, RADIUS, TAPS, RGB)
        else:
            plane = unblurred + (row * planes + channel) * size * size * (3 if RGB else 1)
            _set_aside(plane, red, green, blue, y, x, there & is_blurred, size, RGB)
            there = there & (is_blurred == 0)
    target = out + row * out_b + channel * out_c
    _store(
        red, green, blue, y, x, there, target, out_c, out_h, out_w, mean, std, channel, parameters, cutout_side, size,
        RGB, COLOURED, CUTS_OUT, NORMALISED,
    )  # fmt: skip


@triton.jit
def _reflected(index, size):
    """Reflect an index beyond the border, as ``blur.blur_matrix`` does; one farther out is clamped to the edge."""
    index = tl.abs(index)
    index = tl.where(index >= size, 2 * (size - 1) - index, index)
    return tl.minimum(tl.maximum(index, 0), size - 1)


@triton.jit
def _at(plane, y, x, offset, size, DOWN: tl.constexpr):
    """A plane [size, size] so many lines down, or columns across."""
    line, column = _reflected(y, size), _reflected(x, size)
    if DOWN:
        line = _reflected(y + offset, size)
    else:
        column = _reflected(x + offset, size)
    pointers = plane + (line * size)[:, None] + column[None, :]
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    return tl.load(pointers)


@triton.jit
def _line_sums(plane, y, x, size, sigma, RADIUS: tl.constexpr, TAPS: tl.constexpr, DOWN: tl.constexpr):
    """``blur.gaussian_blur`` along an axis, without the taps beyond six sigma, which weigh less than 1e-7."""
    value = _at(plane, y, x, 0, size, DOWN)
    reach = tl.minimum(tl.ceil(6 * sigma).to(tl.int32), RADIUS)
    for offset in range(1, reach + 1):
        scaled = offset / sigma
        weight = tl.exp(-0.5 * scaled * scaled)
        value += weight * (_at(plane, y, x, offset, size, DOWN) + _at(plane, y, x, -offset, size, DOWN))
    return value / _gaussian_total(sigma, RADIUS, TAPS)


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def across_kernel(
    packed, unblurred, half_blurred, size, channels, stride_p,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RADIUS: tl.constexpr, TAPS: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of one channel of a view that is blurred, blurred along its lines; other rows are left."""
    row, channel, y, x = _tile_coordinates(size, channels, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    if tl.load(parameters + BLURRED) != 0:
        plane = (row * channels + channel) * size * size
        value = _line_sums(unblurred + plane, y, x, size, tl.load(parameters + SIGMA), RADIUS, TAPS, False)
        there = (y < size)[:, None] & (x < size)[None, :]
        tl.store(half_blurred + plane + (y * size)[:, None] + x[None, :], value, mask=there)


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def down_kernel(
    packed, half_blurred, out, mean, std, cutout_side, size, channels, stride_p, out_b, out_c, out_h, out_w,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RADIUS: tl.constexpr, TAPS: tl.constexpr,
    CUTS_OUT: tl.constexpr, NORMALISED: tl.constexpr,
) -> None:  # fmt: skip
    """The same tile blurred along its columns too, and finished."""
    row, channel, y, x = _tile_coordinates(size, channels, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    if tl.load(parameters + BLURRED) != 0:
        plane = half_blurred + (row * channels + channel) * size * size
        value = _within(_line_sums(plane, y, x, size, tl.load(parameters + SIGMA), RADIUS, TAPS, True))
        there = (y < size)[:, None] & (x < size)[None, :]
        _store(
            value, value, value, y, x, there, out + row * out_b + channel * out_c, out_c, out_h, out_w, mean, std,
            channel, parameters, cutout_side, size, False, True, CUTS_OUT, NORMALISED,
        )  # fmt: skip
