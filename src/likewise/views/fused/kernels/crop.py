"""The pixels of a box, resampled with antialiasing, as ``likewise.views.image.crop`` defines it.

A pixel of the view is the sum of a_l b_c image[l, c] over a few lines l and columns c. The weights are in the view's
tables (`likewise.views.fused.kernels.taps`). Where a box enlarges there are two of each: these four taps are read
without a loop, from one address. The loops after them turn only where a box shrinks.
"""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused.kernels.layout import SAYS_ORDER


@triton.jit
def crop(
    image, firsts, weights, y, x, size, stride_c, stride_h, stride_w,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, TAPS: tl.constexpr,
    RGB: tl.constexpr, SHRINKS: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:  # fmt: skip
    """``crop.resample``: the channels at pixels y [ROWS] and x [COLUMNS] of the view.

    In [0, 1] but for rounding, which may be above one.
    """
    # Pixels beyond the view are read as its last ones, so that no load needs a mask.
    if size % COLUMNS != 0:
        x = tl.minimum(x, size - 1)
    if size % ROWS != 0:
        y = tl.minimum(y, size - 1)
    column = tl.load(firsts + x)
    line = tl.load(firsts + (size + 1) + y)
    pixels = image + ((line * stride_h)[:, None] + (column * stride_w)[None, :])
    if SAYS_ORDER:
        pixels = tl.max_contiguous(pixels, [1, 2])
    across_weights = weights + x
    down_weights = weights + (TAPS * size + y)
    red = tl.zeros([ROWS, COLUMNS], tl.float32)
    green = red
    blue = red
    for tap in tl.static_range(4):
        red, green, blue = _with_tap(
            red, green, blue, pixels, down_weights, across_weights, tap // 2, tap % 2, size,
            stride_c, stride_h, stride_w, RGB,
        )  # fmt: skip
    if SHRINKS:
        columns = tl.load(firsts + size)
        lines = tl.load(firsts + (2 * size + 1))
        for across in range(2, columns):
            for down in tl.static_range(2):
                red, green, blue = _with_tap(
                    red, green, blue, pixels, down_weights, across_weights, down, across, size,
                    stride_c, stride_h, stride_w, RGB,
                )  # fmt: skip
        for down in range(2, lines):
            for across in range(columns):
                red, green, blue = _with_tap(
                    red, green, blue, pixels, down_weights, across_weights, down, across, size,
                    stride_c, stride_h, stride_w, RGB,
                )  # fmt: skip
    return red, green, blue


@triton.jit
def _with_tap(
    red, green, blue, pixels, down_weights, across_weights, down, across, size,
    stride_c, stride_h, stride_w, RGB: tl.constexpr,
):  # fmt: skip
    """The sums with one more tap: pixel ``across`` of line ``down``, counted from the first."""
    weight_down = tl.load(down_weights + down * size)
    weight_across = tl.load(across_weights + across * size)
    weight = weight_down[:, None] * weight_across[None, :]
    pointers = pixels + (down * stride_h + across * stride_w)
    if SAYS_ORDER:
        pointers = tl.max_contiguous(pointers, [1, 2])
    red += weight * tl.load(pointers).to(tl.float32)
    if RGB:
        green += weight * tl.load(pointers + stride_c).to(tl.float32)
        blue += weight * tl.load(pointers + 2 * stride_c).to(tl.float32)
    return red, green, blue
