"""Replacements for images that cannot be decoded, so that no run ends because of one file."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from likewise.errors import LikewiseError


class FallbackSamples:
    """The unreadable rows of a set, and for each the next readable row: the same one every time.

    Args:
        count: rows of the set.
        unreadable: rows that cannot be decoded; more may be added as they are found.
    """

    def __init__(self, count: int, unreadable: set[int]) -> None:
        self.count = count
        self.unreadable = unreadable

    def add(self, row: int) -> None:
        """Count one more row as unreadable."""
        self.unreadable.add(row)

    def replace(self, index: Tensor, labels: Tensor | None) -> Tensor:
        """The positions with every unreadable row replaced; int64 [B] -> int64 [B]."""
        if not self.unreadable:
            return index
        rows = [self.fallback(row, labels) for row in index.tolist()]
        return torch.tensor(rows, dtype=torch.int64)

    def fallback(self, row: int, labels: Tensor | None) -> int:
        """The row itself, or if it is unreadable its replacement: of the same label where ``labels`` has one.

        Raises:
            LikewiseError: no image of the set can be decoded.
        """
        if row not in self.unreadable:
            return row
        for other in self._following(row):
            if labels is None or labels[other] == labels[row]:
                return other
        return next(self._following(row))

    def _following(self, row: int) -> Iterator[int]:
        """The readable rows after one, starting again at the first row after the last."""
        if len(self.unreadable) >= self.count:
            raise LikewiseError(
                f"None of the {self.count} images can be decoded. Look at a few of the files."
            )
        for step in range(1, self.count):
            other = (row + step) % self.count
            if other not in self.unreadable:
                yield other
