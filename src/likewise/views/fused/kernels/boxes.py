"""The kernel of random boxes."""

# What Triton's compiler reads is not typed Python: a tile is no Tensor, and a flag decides which names exist.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportPossiblyUnboundVariable=false, reportArgumentType=false
from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused import boxes
from likewise.views.fused.kernels.layout import BOX

TRIES = tl.constexpr(boxes.TRIES)


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
        wide = tl.sqrt(share * shape)
        high = tl.sqrt(share / shape)
        fits = (wide <= 1) & (high <= 1)
        width = tl.where(fits, wide, width)
        height = tl.where(fits, high, height)
    pointers = found + row * BOX
    across = tl.load(numbers + 2 * TRIES, mask=there, other=0.0)
    down = tl.load(numbers + 2 * TRIES + 1, mask=there, other=0.0)
    mirrored = tl.load(numbers + 2 * TRIES + 2, mask=there, other=0.0)
    nought = tl.zeros([ROWS], tl.float32)
    tl.store(pointers, tl.where(mirrored != 0, -width, width), mask=there)
    tl.store(pointers + 1, nought, mask=there)
    tl.store(pointers + 2, across * (1 - width), mask=there)
    tl.store(pointers + 3, nought, mask=there)
    tl.store(pointers + 4, height, mask=there)
    tl.store(pointers + 5, down * (1 - height), mask=there)
