"""The kernel of `philox`: any number of a batch's rows, made by itself."""

# What Triton's compiler reads is not typed Python.
# pyright: reportMissingImports=false, reportGeneralTypeIssues=false, reportArgumentType=false
from __future__ import annotations

import triton
import triton.language as tl

from likewise.randomness import ranges

ROUNDS = tl.constexpr(10)
MULTIPLIER_0, MULTIPLIER_1 = tl.constexpr(0xD2E7470EE14C6C93), tl.constexpr(0xCA5A826395121157)
WEYL_0, WEYL_1 = tl.constexpr(0x9E3779B97F4A7C15), tl.constexpr(0xBB67AE8584CAA73B)
"""Of Salmon et al. 2011, Table 2."""

UNUSED_BITS = tl.constexpr(32 - ranges.BITS)
MASK = tl.constexpr(2**ranges.BITS - 1)


@triton.jit
def _philox(c0, c1, k0, k1):
    """The block at the counter (c0, c1, 0, 0): four uint64."""
    zero = c0 ^ c0
    m0 = zero + MULTIPLIER_0
    m1 = zero + MULTIPLIER_1
    c2 = zero
    c3 = zero
    for _ in tl.static_range(ROUNDS):
        high_0 = tl.umulhi(c0, m0)
        high_1 = tl.umulhi(c2, m1)
        low_0 = c0 * m0
        low_1 = c2 * m1
        c0 = high_1 ^ c1 ^ k0
        c1 = low_1
        c2 = high_0 ^ c3 ^ k1
        c3 = low_0
        k0 = k0 + WEYL_0
        k1 = k1 + WEYL_1
    return c0, c1, c2, c3


@triton.jit(do_not_specialize=["count", "call", "rows", "total", "first", "stride"])
def lines_kernel(
    key, starts, columns, lows, scales, numbers, count, call, rows, total, first, stride,
    BLOCK: tl.constexpr,
) -> None:  # fmt: skip
    """``philox.made_on_cpu``: int64 [2] -> float32 [L, rows]."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = place < count
    line = place // rows
    start = tl.load(starts + line, mask=there, other=0)
    wide = tl.load(columns + line, mask=there, other=1)
    within = (line - start) * rows + place % rows  # of our numbers of the range
    row = first + within // wide * stride
    number = start.to(tl.int64) * total + row.to(tl.int64) * wide + within % wide
    # NumPy counts before it makes a block.
    block = (number // 8 + 1).to(tl.uint64)
    nothing = block ^ block
    k0 = tl.load(key).to(tl.uint64, bitcast=True) + nothing
    k1 = tl.load(key + 1).to(tl.uint64, bitcast=True) + nothing
    w0, w1, w2, w3 = _philox(block, nothing + call, k0, k1)
    word = number // 2 % 4
    pair = tl.where(word == 0, w0, tl.where(word == 1, w1, tl.where(word == 2, w2, w3)))
    shift = (number % 2 * 32 + UNUSED_BITS).to(tl.uint64)
    bits = ((pair >> shift) & MASK).to(tl.int32).to(tl.float32)
    scale = tl.load(scales + line, mask=there, other=0.0)
    low = tl.load(lows + line, mask=there, other=0.0)
    tl.store(numbers + place, bits * scale + low, mask=there)
