"""Where the kernels find the parameters of a view, and how Triton should compile their loads and stores."""

from __future__ import annotations

import triton
import triton.language as tl

from likewise.views.fused import packing

EXTENT_X, CENTRE_X, EXTENT_Y, CENTRE_Y = (tl.constexpr(index) for index in (0, 2, 4, 5))
"""Positions in a box, the six numbers of ``View.box``."""
BOX = tl.constexpr(6)
"""How many numbers a box has."""

FACTORS = tl.constexpr(packing.FACTORS)
ORDER = tl.constexpr(packing.ORDER)
GREY = tl.constexpr(packing.GREY)
BLURRED = tl.constexpr(packing.BLURRED)
SIGMA = tl.constexpr(packing.SIGMA)
SOLARIZED = tl.constexpr(packing.SOLARIZED)
CUTOUT = tl.constexpr(packing.CUTOUT)
CHANNEL_FACTORS = tl.constexpr(packing.CHANNEL_FACTORS)
"""First columns of a row of `packing`."""

SAYS_ORDER = tl.constexpr(tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 8))
"""Whether Triton needs a hint that neighbouring threads read neighbouring columns.

Where it sees no contiguous addresses, 3.6 lets them read neighbouring lines, which at 224 pixels took 7 times as long.
A hint of two contiguous addresses turns that round. It changes nothing else as long as Triton knows nothing of how
addresses are aligned (NOT_SPECIALIZED), since it then loads and stores each number alone. The hint belongs to the
operation that computes the addresses, so each of them gives it: what a function says of its argument is lost.
"""

NOT_SPECIALIZED = ["height", "width", "stride_b", "stride_c", "stride_h", "stride_w"]
"""Numbers for which Triton does not compile a kernel of its own where they are 1 or divisible by 16.

The side of a view is none of them: it is a constant, and each side has kernels of its own. Of three planes and eight
lines a thread then knows where they lie from one address, which takes half the registers and a fifth off the
instructions. What is written is not specialized either: were its alignment known, a thread would write four
neighbours at once, and read four neighbours' sources, which lie in four times as many lines of the cache.
"""
