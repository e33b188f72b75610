"""The kernels of crops and colours: a tile of a view in each program."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.blur import all_blurred, set_aside
from likewise.views.fused.kernels.colour import (
    CHANGES,
    CONTRAST,
    change_at,
    changed,
    coloured,
    luminance,
    whole_sum,
)
from likewise.views.fused.kernels.crop import crop
from likewise.views.fused.kernels.layout import (
    BLURRED,
    BOX,
    CHANNEL_FACTORS,
    NOT_SPECIALIZED,
    ORDER,
)
from likewise.views.fused.kernels.taps import tables, write_taps
from likewise.views.fused.kernels.tile import (
    inside,
    plane_offset,
    store,
    target_offset,
    tile_coordinates,
    within,
)


@triton.jit(do_not_specialize=NOT_SPECIALIZED)
def sum_kernel(
    images, firsts, weights, packed, sums, size: tl.constexpr, height, width, planes,
    stride_b, stride_c, stride_h, stride_w, stride_p,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CROP_TAPS: tl.constexpr, RGB: tl.constexpr, SHRINKS: tl.constexpr, SCALED: tl.constexpr,
    STRIDE_C: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr,
) -> None:  # fmt: skip
    """Each tile's sum over the luminance that contrast meets: [B * planes * tiles]. Rows without contrast are left."""
    row, channel, y, x = tile_coordinates(planes, size, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    before = CHANGES  # how many changes come before contrast
    for turn in range(CHANGES):
        if tl.load(parameters + ORDER + turn).to(tl.int32) == CONTRAST:
            before = tl.minimum(before, turn)
    if before < CHANGES:
        firsts, weights = tables(firsts, weights, row, size, CROP_TAPS)
        red, green, blue = _cropped(
            images, firsts, weights, parameters, row, channel, y, x, size,
            stride_b, stride_c, stride_h, stride_w,
            ROWS, COLUMNS, CROP_TAPS, RGB, SHRINKS, SCALED, STRIDE_C, STRIDE_H, STRIDE_W,
        )  # fmt: skip
        for turn in range(before):
            change, factor = change_at(parameters, turn)
            red, green, blue = changed(red, green, blue, change, factor, RGB)
        there = inside(y, x, size, ROWS, COLUMNS)
        seen = tl.where(there, luminance(red, green, blue, RGB), 0.0)
        tl.store(sums + tl.program_id(0), whole_sum(seen))


@triton.jit
def _cropped(
    images, firsts, weights, parameters, row, channel, y, x, size,
    stride_b, stride_c, stride_h, stride_w,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CROP_TAPS: tl.constexpr,
    RGB: tl.constexpr, SHRINKS: tl.constexpr, SCALED: tl.constexpr,
    STRIDE_C: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr,
):  # fmt: skip
    """A tile of a view before its colours change; a channel may have a factor of its own."""
    if STRIDE_C > 0:
        stride_c = STRIDE_C
    if STRIDE_H > 0:
        stride_h = STRIDE_H
    if STRIDE_W > 0:
        stride_w = STRIDE_W
    image = images + row * stride_b + channel * stride_c
    red, green, blue = crop(
        image, firsts, weights, y, x, size, stride_c, stride_h, stride_w,
        ROWS, COLUMNS, CROP_TAPS, RGB, SHRINKS,
    )  # fmt: skip
    if SCALED:
        red = within(red * tl.load(parameters + CHANNEL_FACTORS + channel))
    return red, green, blue


@triton.jit(do_not_specialize=[*NOT_SPECIALIZED, "unblurred", "out"])
def view_kernel(
    images, boxes, firsts, weights, packed, sums, out, unblurred, normalisation, cutout_side,
    size: tl.constexpr, height, width, planes,
    stride_b, stride_c, stride_h, stride_w, stride_p,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, TILES: tl.constexpr,
    RADIUS: tl.constexpr, TAPS: tl.constexpr,
    CROP_TAPS: tl.constexpr, RGB: tl.constexpr, SHRINKS: tl.constexpr, SCALED: tl.constexpr,
    STRIDE_C: tl.constexpr, STRIDE_H: tl.constexpr, STRIDE_W: tl.constexpr,
    COLOURED: tl.constexpr, SOLARIZES: tl.constexpr, BLURS: tl.constexpr, CUTS_OUT: tl.constexpr,
    WHOLE: tl.constexpr, FOR_ENCODER: tl.constexpr,
) -> None:  # fmt: skip
    """A tile of a view, finished, but for rows to be blurred by other kernels: theirs goes to ``unblurred``.

    A whole view is blurred there, so that ``unblurred`` may be ``out``.
    """
    row, channel, y, x = tile_coordinates(planes, size, ROWS, COLUMNS)
    parameters = packed + row * stride_p
    plane = plane_offset(row, channel, planes, size, RGB)
    there = inside(y, x, size, ROWS, COLUMNS)
    firsts, weights = tables(firsts, weights, row, size, CROP_TAPS)
    if WHOLE:
        # The threads pass the taps to each other through memory.
        write_taps(
            boxes + row * BOX, firsts, weights, size, height, width, ROWS, CROP_TAPS, SHRINKS
        )
        tl.debug_barrier()
    red, green, blue = _cropped(
        images, firsts, weights, parameters, row, channel, y, x, size,
        stride_b, stride_c, stride_h, stride_w,
        ROWS, COLUMNS, CROP_TAPS, RGB, SHRINKS, SCALED, STRIDE_C, STRIDE_H, STRIDE_W,
    )  # fmt: skip
    red, green, blue = within(red), within(green), within(blue)
    if COLOURED:
        red, green, blue = coloured(
            red, green, blue, parameters, sums, there, size, TILES, RGB, WHOLE
        )
    if BLURS:
        is_blurred = tl.load(parameters + BLURRED).to(tl.int32) != 0
        if WHOLE:
            if is_blurred:
                red, green, blue = all_blurred(
                    unblurred + plane, red, green, blue, y, x, there, size, parameters,
                    RADIUS, TAPS, RGB,
                )  # fmt: skip
        else:
            set_aside(unblurred + plane, red, green, blue, y, x, there & is_blurred, size, RGB)
            there = there & (is_blurred == 0)
    channels = 3 if RGB else planes
    target = out + target_offset(row, channel, channels, planes, size, RGB, FOR_ENCODER)
    store(
        red, green, blue, y, x, there, target, parameters, cutout_side, size, normalisation + 2 * channel, channels,
        RGB, SOLARIZES, CUTS_OUT, FOR_ENCODER,
    )  # fmt: skip
