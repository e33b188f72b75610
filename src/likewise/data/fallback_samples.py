"""Which row stands in for an image that cannot be decoded, so that no run dies of one file."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from likewise.errors import LikewiseError


class FallbackSamples:
    """The lost rows of a set, and for each the next readable row: the same one every time.

    Args:
        count: rows of the set.
        lost: rows that cannot be decoded; more may be added as they are met.
    """

    def __init__(self, count: int, lost: set[int]) -> None:
        self.count, self.lost = count, lost

    def add(self, row: int) -> None:
        """Count one more row as lost."""
        self.lost.add(row)

    def replace(self, index: Tensor, labels: Tensor | None) -> Tensor:
        """The positions with every lost row replaced."""
        if not self.lost:
            return index
        return torch.tensor([self.stand_in(row, labels) for row in index.tolist()], dtype=torch.int64)

    def stand_in(self, row: int, labels: Tensor | None) -> int:
        """The row itself, or if it is lost the one that stands in.

        Raises:
            LikewiseError: no image of the set can be decoded.
        """
        if row not in self.lost:
            return row
        others = (other for other in self._following(row) if labels is None or labels[other] == labels[row])
        found = next(others, None)
        return found if found is not None else next(self._following(row))

    def _following(self, row: int) -> Iterator[int]:
        """The readable rows behind one, around the end."""
        if len(self.lost) >= self.count:
            raise LikewiseError(f"None of the {self.count} images can be decoded. Look at a few of the files.")
        ahead = ((row + step) % self.count for step in range(1, self.count))
        return (other for other in ahead if other not in self.lost)
