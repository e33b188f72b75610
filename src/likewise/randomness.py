"""Random numbers as a function of (seed, step, row), so that no generator state outlives a step.

Numbers are drawn for the whole global batch and cut to the rows of this rank. The same example therefore gets the same
number on one device, on eight, and in the second of four microbatches; and a run that is stopped and resumed draws the
same numbers as an uninterrupted one.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


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


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator that is a pure function of its key (a seed, a step, the name of a stream, ...)."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    state = np.random.SeedSequence([word % 2**32 for word in words]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> 1))


def seed_networks(*key: int | str) -> None:
    """Seed PyTorch's global generators, which initial weights and dropout use.

    `torch.manual_seed` does the same, and takes a quarter of a millisecond of each step for kinds of devices that are
    not there.
    """
    seed = generator(*key).initial_seed()
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.xpu.is_available():
        torch.xpu.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def restored_rng() -> Iterator[None]:
    """Afterwards PyTorch's global generators are as they were, for the program of the user's that draws from them.

    Those of a GPU that was not used before start from the seed that the program gave PyTorch, as they would have.
    """
    state, seed = torch.get_rng_state(), torch.initial_seed()
    available = [module for module in (torch.cuda, torch.xpu) if module.is_available()]
    used = {module: module.get_rng_state_all() for module in available if module.is_initialized()}
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    try:
        yield
    finally:
        torch.set_rng_state(state)
        for module in available:
            if module in used:
                module.set_rng_state_all(used[module])
            else:
                module.manual_seed_all(seed)
        if mps is not None:
            torch.mps.set_rng_state(mps)


class BatchRNG:
    """Random numbers for the rows of one batch.

    Args:
        key: what the numbers are a function of, for instance ``(seed, step)``.
        rows: number of rows on this rank.
        total: rows of the global batch; ``None``: all of them are on this rank.
        first: position of this rank's first row in the global batch.
        device: where the numbers go.
        stride: distance of this rank's rows in the global batch: 1 for adjacent rows, 4 for every fourth.
    """

    def __init__(
        self,
        key: tuple[int | str, ...],
        rows: int,
        total: int | None = None,
        first: int = 0,
        device: torch.device | str = "cpu",
        stride: int = 1,
    ) -> None:
        self.key, self.rows, self.total = key, rows, total or rows
        self.first, self.stride, self.device = first, stride, device
        self._end = first + (rows - 1) * stride + 1
        if self._end > self.total:
            raise ValueError(f"rows {first}..{self._end} are not within a batch of {self.total}")
        self._generator = generator(*key)

    def stream(self, name: str) -> BatchRNG:
        """An independent stream for the same rows: one for each view, so that views do not depend on call order."""
        return BatchRNG(
            (*self.key, name), self.rows, self.total, self.first, self.device, self.stride
        )

    def row_numbers(self) -> Tensor:
        """int64 [B]: the position of each of our rows in the global batch."""
        return torch.arange(self.first, self._end, self.stride)

    def uniform(self, low: float = 0.0, high: float = 1.0, columns: int | None = None) -> Tensor:
        """Float32 [B], or [B, columns], uniform in [low, high)."""
        return self.uniforms([Uniform(low, high, columns)])[0]

    def uniforms(self, ranges: Sequence[Uniform]) -> list[Tensor]:
        """What `uniform` gives for one range after the other, drawn together."""
        found = []
        lines = self.lines(ranges).split([each.lines for each in ranges])
        for each, numbers in zip(ranges, lines, strict=True):
            found.append(numbers[0] if each.columns is None else numbers.view(-1, each.columns))
        return found

    def lines(self, ranges: Sequence[Uniform]) -> Tensor:
        """The same numbers as one tensor [lines, B]: a range's are one after the other in as many lines as columns."""
        low, width = _low_and_width(tuple(ranges))
        drawn = torch.rand((len(low), self.total), generator=self._generator)
        drawn.mul_(width).add_(low)
        if self.rows < self.total:
            drawn = self._own_lines(drawn, ranges)
        return drawn.to(self.device, non_blocking=True)

    def _own_lines(self, drawn: Tensor, ranges: Sequence[Uniform]) -> Tensor:
        """Our rows of the global batch: [lines, total] -> [lines, B]."""
        own = []
        for numbers in drawn.split([each.lines for each in ranges]):
            rows = numbers.view(self.total, -1)[self.first : self._end : self.stride]
            own.append(rows.reshape(-1, self.rows))
        return torch.cat(own)

    def chance(self, probability: float) -> Tensor:
        """Bool [B]: true with the given probability."""
        return self.uniform() < probability

    def orders(self, items: int) -> Tensor:
        """int64 [B, items]: a random permutation of 0..items-1 for each row."""
        return self.uniform(columns=items).argsort(dim=1)


@functools.cache
def _low_and_width(ranges: tuple[Uniform, ...]) -> tuple[Tensor, Tensor]:
    """Of the range of each line: float32 [lines, 1]."""
    lines = torch.tensor([each.lines for each in ranges])
    low = torch.tensor([float(each.low) for each in ranges])
    width = torch.tensor([float(each.high - each.low) for each in ranges])
    return low.repeat_interleave(lines)[:, None], width.repeat_interleave(lines)[:, None]
