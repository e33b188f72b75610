"""The taps of a view's lines and columns, which all of its pixels share.

The filter is separable. With the weights a_l of the image's lines for a line of the view, and b_c of its columns for a
column, that pixel of the view is the sum of a_l b_c image[l, c] over l and c. So there are as many lists of
weights as the view has lines and columns, not pixels. They are made before the pixels, into two tables of each view:

- ``weights``, float32 [2, TAPS, size]: first those of columns, then those of lines. Those of a column add up to one,
  those of a line to 1/255, which turns levels into [0, 1].
- ``firsts``, int32 [2, size + 1]: the pixel of the image that the first weight belongs to. The last number is how
  many weights of the axis may be other than zero.
"""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.layout import (
    BOX,
    CENTRE_X,
    CENTRE_Y,
    EXTENT_X,
    EXTENT_Y,
    NOT_SPECIALIZED,
)
from likewise.views.fused.kernels.tile import within


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def taps_kernel(
    boxes, firsts, weights, size: tl.constexpr, height, width,
    SIDE: tl.constexpr, TAPS: tl.constexpr, SHRINKS: tl.constexpr,
) -> None:  # fmt: skip
    """The tables of a view whose pixels are made by several programs."""
    row = tl.program_id(0).to(tl.int64)
    firsts, weights = tables(firsts, weights, row, size, TAPS)
    write_taps(boxes + row * BOX, firsts, weights, size, height, width, SIDE, TAPS, SHRINKS)


@triton.jit
def tables(firsts, weights, row, size, TAPS: tl.constexpr) -> tuple[tl.tensor, tl.tensor]:
    """Where those of a view are."""
    return firsts + row * (2 * (size + 1)), weights + row * (2 * TAPS * size)


@triton.jit
def write_taps(
    box, firsts, weights, size, height, width,
    SIDE: tl.constexpr, TAPS: tl.constexpr, SHRINKS: tl.constexpr,
) -> None:  # fmt: skip
    """``crop.filter_taps`` of both axes; SIDE is a power of two that is not below ``size``."""
    entry = tl.arange(0, 2 * SIDE)
    is_down = entry >= SIDE
    # Entries beyond the view write once more what its last pixel has.
    index = tl.minimum(entry % SIDE, size - 1)
    extent = tl.where(is_down, tl.load(box + EXTENT_Y), tl.load(box + EXTENT_X))
    centre = tl.where(is_down, tl.load(box + CENTRE_Y), tl.load(box + CENTRE_X))
    pixels = tl.where(is_down, height, width)
    wanted, first, reach = _filter(index, extent, centre, pixels.to(tl.float32), size, SHRINKS)
    count = tl.minimum(tl.minimum(tl.ceil(2 * reach).to(tl.int32), TAPS), pixels)
    # A tap that weighs nothing may be any pixel: all are inside the image, so that no load needs a mask.
    first = tl.maximum(tl.minimum(first, (pixels - count).to(tl.float32)), 0.0)
    total = tl.zeros([2 * SIDE], tl.float32)
    for tap in range(TAPS):
        total += _weight(first + tap, wanted, reach, extent, centre, pixels, SHRINKS)
    scale = tl.where(is_down, 1.0 / 255, 1.0) / total
    of_axis = firsts + tl.where(is_down, size + 1, 0)
    tl.store(of_axis + index, first.to(tl.int32))
    tl.store(of_axis + size, count, mask=index == 0)
    column = weights + tl.where(is_down, TAPS * size, 0) + index
    for tap in range(TAPS):
        weight = _weight(first + tap, wanted, reach, extent, centre, pixels, SHRINKS)
        tl.store(column + tap * size, weight * scale)


@triton.jit
def _filter(index, extent, centre, pixels, size, SHRINKS: tl.constexpr):
    """Per pixel of an axis: its position in the image, the first pixel of the filter, and the filter's reach.

    Where views do not shrink, it is the bilinear gather of ``crop._enlarge`` written as such a filter.
    """
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
def _weight(index, wanted, reach, extent, centre, pixels, SHRINKS: tl.constexpr):
    """Of the image's pixel ``index``; weights do not add up to one where views shrink."""
    weight = tl.maximum(1 - tl.abs(index + 0.5 - wanted) / reach, 0.0)
    if SHRINKS:
        half = pixels.to(tl.float32) * 0.5
        from_middle = tl.abs(index + 0.5 - (centre + 1) * half)
        share_inside = tl.abs(extent) * half + 0.5 - from_middle
        weight = weight * within(share_inside)
    return weight
