"""The pixels of a box, resampled with antialiasing, as ``likewise.views.image.crop`` defines it."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.layout import CENTRE_X, CENTRE_Y, EXTENT_X, EXTENT_Y, SAYS_ORDER
from likewise.views.fused.kernels.tile import within


@triton.jit
def crop(
    image, box, y, x, size, height, width, stride_c, stride_h, stride_w,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, RGB: tl.constexpr, SHRINKS: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:  # fmt: skip
    """``crop.resample``: the channels at pixels y [ROWS] and x [COLUMNS] of the view, in [0, 1]."""
    extent_x = tl.load(box + EXTENT_X)
    centre_x = tl.load(box + CENTRE_X)
    extent_y = tl.load(box + EXTENT_Y)
    centre_y = tl.load(box + CENTRE_Y)
    # Pixels beyond the view are read as its last ones, so that no load needs a mask.
    y = tl.minimum(y, size - 1)
    x = tl.minimum(x, size - 1)
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
                down = 2 * pair_y + part // 2
                across = 2 * pair_x + part % 2
                line, weight_y = _tap(
                    down, wanted_y, first_y, reach_y, extent_y, centre_y, height, SHRINKS
                )
                column, weight_x = _tap(
                    across, wanted_x, first_x, reach_x, extent_x, centre_x, width, SHRINKS
                )
                pointers = image + (line * stride_h)[:, None] + (column * stride_w)[None, :]
                if SAYS_ORDER:
                    pointers = tl.max_contiguous(pointers, [1, 2])
                weight = weight_y[:, None] * weight_x[None, :]
                red += weight * tl.load(pointers).to(tl.float32)
                if RGB:
                    green += weight * tl.load(pointers + stride_c).to(tl.float32)
                    blue += weight * tl.load(pointers + 2 * stride_c).to(tl.float32)
    red = red * (1.0 / 255)
    green = green * (1.0 / 255)
    blue = blue * (1.0 / 255)
    if SHRINKS:
        sum_y = _weight_sum(pairs_y, wanted_y, first_y, reach_y, extent_y, centre_y, height, ROWS)
        sum_x = _weight_sum(pairs_x, wanted_x, first_x, reach_x, extent_x, centre_x, width, COLUMNS)
        scale = (1 / sum_y)[:, None] * (1 / sum_x)[None, :]
        red = red * scale
        green = green * scale
        blue = blue * scale
    return tl.minimum(red, 1.0), tl.minimum(green, 1.0), tl.minimum(blue, 1.0)


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
        position = ((seen + 1) * pixels - 1) * 0.5
        position = tl.minimum(tl.maximum(position, 0.0), pixels - 1)
        wanted = position + 0.5
        reach = tl.abs(extent) * 0 + 1
        first = tl.floor(position)
    return wanted, first, reach


@triton.jit
def _tap(tap, wanted, first, reach, extent, centre, pixels, SHRINKS: tl.constexpr):
    """The pixel and the weight of one tap of each pixel; weights do not add up to one where views shrink."""
    index = first + tap
    weight = tl.maximum(1 - tl.abs(index + 0.5 - wanted) * (1 / reach), 0.0)
    if SHRINKS:
        half = pixels.to(tl.float32) * 0.5
        from_middle = tl.abs(index + 0.5 - (centre + 1) * half)
        share_inside = tl.abs(extent) * half + 0.5 - from_middle
        weight = weight * within(share_inside)
    index = index.to(tl.int32)
    return tl.minimum(tl.maximum(index, 0), pixels - 1), weight


@triton.jit
def _weight_sum(pairs, wanted, first, reach, extent, centre, pixels, LENGTH: tl.constexpr):
    """The sum of the weights of all taps of each pixel of an axis where views shrink: [LENGTH]."""
    total = tl.zeros([LENGTH], tl.float32)
    for tap in range(2 * pairs):
        _, weight = _tap(tap, wanted, first, reach, extent, centre, pixels, True)
        total += weight
    return total
