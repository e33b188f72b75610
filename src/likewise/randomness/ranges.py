"""Which numbers are drawn for each row of a batch, and which rows of the global batch are ours."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor

BITS = 24
"""Random bits of a number: as many as float32 holds."""


class Uniform(NamedTuple):
    """Numbers to draw for each row: float32, uniform in [low, high)."""

    low: float = 0.0
    high: float = 1.0
    columns: int | None = None
    """numbers of a row; None: one, and the result has no second dimension"""

    @property
    def lines(self) -> int:
        """Numbers of a row."""
        return 1 if self.columns is None else self.columns


Ranges = tuple[Uniform, ...]


class Rows(NamedTuple):
    """Rows of the global batch."""

    size: int
    total: int
    """rows of the global batch"""
    first: int = 0
    """position of our first row in it"""
    stride: int = 1
    """distance of our rows in it"""

    @property
    def slice(self) -> slice:
        """Where they are."""
        return slice(self.first, self.first + (self.size - 1) * self.stride + 1, self.stride)


class Lines(NamedTuple):
    """What each of L lines of numbers holds, where a range has as many lines as columns."""

    start: Tensor
    """int32 [L], the first line of its range"""
    columns: Tensor
    """int32 [L], of its range"""
    low: Tensor
    """float32 [L]"""
    scale: Tensor
    """float32 [L]: the number is ``low + scale * bits``, with an integer of 24 random bits"""


@functools.cache
def lines_of(ranges: Ranges, device: torch.device) -> Lines:
    """Made once for a device: a CUDA graph may read them."""
    start: list[int] = []
    columns: list[int] = []
    low: list[float] = []
    width: list[float] = []
    for each in ranges:
        start += each.lines * [len(start)]
        columns += each.lines * [each.lines]
        low += each.lines * [float(each.low)]
        width += each.lines * [float(each.high - each.low)]
    with torch.inference_mode(False):
        lines = Lines(
            torch.tensor(start, dtype=torch.int32),
            torch.tensor(columns, dtype=torch.int32),
            torch.tensor(low),
            torch.tensor(width) / 2**BITS,
        )
        return Lines(*(part.to(device) for part in lines))
