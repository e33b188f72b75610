"""Philox4x64-10: random bits as a function of a key and a position, so that every device makes the same.

Salmon et al. 2011, https://doi.org/10.1145/2063384.2063405. Number n of a call takes half of a 64-bit word: block
n // 8, word n // 2 % 4 of it, and the lower half first. The blocks are those of `numpy.random.Philox` from the counter
(0, call, 0, 0) on, whose stream NumPy promises to keep (https://numpy.org/neps/nep-0019-rng-policy.html). The upper 24
bits of the half make a float32 without rounding. Multiplying by the width and adding the low end then round once each,
never together, on a CPU as in the kernel: the numbers are equal in every bit.
"""

from __future__ import annotations

import zlib

import numpy as np
import torch
from torch import Tensor

from likewise.errors import LikewiseError
from likewise.gpu_kernels import kernels
from likewise.randomness.ranges import BITS, Ranges, Rows, lines_of

BLOCK = 256
"""Numbers that a program of the kernel makes."""

WARPS = 4


def words_of(key: tuple[int | str, ...]) -> list[int]:
    """The parts of a key (a seed, a step, the name of a stream, ...) as 32-bit words.

    Raises:
        LikewiseError: a number does not fit into a word, in which it would equal another one.
    """
    for part in key:
        if not isinstance(part, str) and not 0 <= part < 2**32:
            raise LikewiseError(
                f"Random numbers of the key {key} were asked for, but {part} is not told apart from another number: "
                f"give seeds, steps and positions from 0 to {2**32 - 1}."
            )
    return [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]


def key_of(key: tuple[int | str, ...]) -> Tensor:
    """Int64 [2]: Philox's key."""
    state = np.random.SeedSequence(words_of(key)).generate_state(2, np.uint64)
    return torch.from_numpy(state.view(np.int64))


def made_on_cpu(key: Tensor, call: int, ranges: Ranges, rows: Rows) -> Tensor:
    """Float32 [L, B]: a range's numbers are one row after the other, in as many lines as it has columns.

    Args:
        key: int64 [2].
        call: how often the key was used before.
        ranges: what is drawn for each row.
        rows: B rows of the global batch.
    """
    lines = lines_of(ranges, torch.device("cpu"))
    count = len(lines.low) * rows.total
    counter = np.array([0, call, 0, 0], np.uint64)
    philox = np.random.Philox(key=key.numpy().view(np.uint64), counter=counter)
    halves = philox.random_raw(-(-count // 2)).astype("<u8", copy=False).view("<u4")
    halves >>= 32 - BITS
    bits = torch.from_numpy(halves.view(np.int32))[:count]
    if rows.size < rows.total:
        bits = _own_rows(bits, ranges, rows)
    numbers = bits.float().view(len(lines.low), rows.size)
    return numbers.mul_(lines.scale[:, None]).add_(lines.low[:, None])


def _own_rows(bits: Tensor, ranges: Ranges, rows: Rows) -> Tensor:
    """Our part of the global batch's [L * total] -> [L * B]."""
    own = []
    for of_range in bits.split([each.lines * rows.total for each in ranges]):
        own.append(of_range.view(rows.total, -1)[rows.slice].flatten())
    return torch.cat(own)


def made_by_kernel(key: Tensor, call: int, ranges: Ranges, rows: Rows) -> Tensor:
    """The same on the device of the key, which the kernel reads there."""
    lines = lines_of(ranges, key.device)
    numbers = torch.empty(len(lines.low), rows.size, device=key.device)
    count = numbers.numel()
    if count:
        with torch.cuda.device_of(numbers):
            lines_kernel = kernels("randomness.philox_kernel").lines_kernel
            lines_kernel[(-(-count // BLOCK),)](
                key,
                *lines,
                numbers,
                count,
                call,
                *rows,
                BLOCK=BLOCK,
                num_warps=WARPS,
                # else a GPU would round a product and its sum once
                enable_fp_fusion=False,
            )
    return numbers
