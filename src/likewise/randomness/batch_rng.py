"""Random numbers as a function of (seed, step, row), so that no generator state outlives a step.

Numbers are those of the rows of the global batch, whoever makes them. The same example therefore gets the same number
on one device, on eight, and in the second of four microbatches; on a CPU and on a GPU; and a run that is stopped and
resumed draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from likewise.gpu_kernels import runs_on, to_device
from likewise.randomness import philox
from likewise.randomness.ranges import Rows, Uniform

CPU = torch.device("cpu")


class BatchRNG:
    """Random numbers for the rows of one batch, on a CPU unless they are asked for `on` another device.

    Args:
        key: what the numbers are a function of, for instance ``(seed, step)``.
        rows: number of rows on this rank.
        total: rows of the global batch; ``None``: all of them are on this rank.
        first: position of this rank's first row in the global batch.
        stride: distance of this rank's rows in the global batch: 1 for adjacent rows, 4 for every fourth.
    """

    def __init__(
        self,
        key: tuple[int | str, ...],
        rows: int,
        total: int | None = None,
        first: int = 0,
        stride: int = 1,
    ) -> None:
        self.key, self.rows = key, rows
        self.of_batch = Rows(rows, total or rows, first, stride)
        self.device = CPU
        self._calls = itertools.count()
        self._philox_key: Tensor | None = None
        end = self.of_batch.slice.stop
        if end > self.of_batch.total:
            raise ValueError(f"rows {first}..{end} are not within a batch of {self.of_batch.total}")

    def stream(self, name: str) -> BatchRNG:
        """An independent stream for the same rows: one for each view, so that views do not depend on call order."""
        other = copy.copy(self)
        other.key, other._calls = (*self.key, name), itertools.count()
        other._philox_key = None
        return other

    def on(self, device: torch.device) -> BatchRNG:
        """The same stream with its numbers on a device. A call of either takes the next numbers."""
        there = copy.copy(self)
        there.device, there._philox_key = device, None
        return there

    def philox_key(self) -> Tensor:
        """Int64 [2], where the numbers are made; it is sent to a device once."""
        if self._philox_key is None:
            key = philox.key_of(self.key)
            self._philox_key = to_device(key, self.device) if runs_on(self.device) else key
        return self._philox_key

    def row_numbers(self) -> Tensor:
        """int64 [B]: the position of each of our rows in the global batch."""
        own = self.of_batch.slice
        return torch.arange(own.start, own.stop, own.step)

    def uniform(self, low: float = 0.0, high: float = 1.0, columns: int | None = None) -> Tensor:
        """Float32 [B], or [B, columns], uniform in [low, high)."""
        return self.uniforms([Uniform(low, high, columns)])[0]

    def uniforms(self, ranges: Sequence[Uniform]) -> list[Tensor]:
        """Of one range after the other, drawn together."""
        found = []
        lines = self.lines(ranges).split([each.lines for each in ranges])
        for each, numbers in zip(ranges, lines, strict=True):
            found.append(numbers[0] if each.columns is None else numbers.view(-1, each.columns))
        return found

    def lines(self, ranges: Sequence[Uniform]) -> Tensor:
        """The same numbers as one tensor [lines, B]: a range's are one after the other in as many lines as columns.

        On a GPU on which the kernels run they are made there; the host then sends the key alone.
        """
        arguments = next(self._calls), tuple(ranges), self.of_batch
        key = self.philox_key()
        if runs_on(self.device):
            return philox.made_by_kernel(key, *arguments)
        return to_device(philox.made_on_cpu(key, *arguments), self.device)
