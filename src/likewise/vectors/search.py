"""The vectors most similar to a query, by cosine; of files a block of rows is in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from likewise.errors import LikewiseError
from likewise.vectors.parts import files_of
from likewise.vectors.vectors import VectorFile, Vectors


class SearchResult(NamedTuple):
    """An image found by a search."""

    cosine: float
    """cosine similarity of the two vectors"""
    id: str
    """its path, or its position in the data"""
    label: str
    """its class, or empty"""


class VectorIndex:
    """Vectors that are searched: in memory, in a file, or in a folder of parts.

    Args:
        given: vectors, or where they are.

    Raises:
        LikewiseError: there is no such file, it is of another format, or a part is missing.
    """

    def __init__(self, given: Vectors | str | Path) -> None:
        self.vectors = given if isinstance(given, Vectors) else None
        self._files: list[VectorFile] = []
        if not isinstance(given, Vectors):
            self._files = [VectorFile(file) for file in files_of(Path(given))]

    @property
    def encoder(self) -> str:
        """The hash of the encoder that made them; empty where that is not known."""
        first = self._files[0] if self.vectors is None else self.vectors
        return first.encoder

    @property
    def skipped(self) -> Mapping[str, str]:
        """Ids of files that have no vector, each with the reason."""
        if self.vectors is not None:
            return self.vectors.skipped
        skipped: dict[str, str] = {}
        for file in self._files:
            skipped |= file.skipped
        return skipped

    def width(self, column: str) -> int | None:
        """Numbers in each vector of a column, ``vector`` or ``shared``; None where there is no such column."""
        if self.vectors is not None:
            matrix = self.vectors.column(column)
            return None if matrix is None else matrix.shape[1]
        filled = [file for file in self._files if file.rows] or self._files
        return filled[0].width(column)

    def most_similar(self, query: Tensor, count: int, column: str = "vector") -> list[SearchResult]:
        """The vectors most similar to a query [1, D] by cosine, best first; of equal ones the first in the files.

        Raises:
            LikewiseError: a count below 1.
        """
        if count < 1:
            raise LikewiseError(
                f"--count {count} was given; it must be 1 or more, for instance 10."
            )
        # Of the blocks so far, [count] or fewer.
        best = torch.empty(0)
        rows = torch.empty(0, dtype=torch.int64)
        first = 0
        for block in self._blocks(column):  # [b, D]
            cosines = torch.cat([best, cosine_similarity(query, block)])  # [count + b]
            of_block = torch.arange(first, first + len(block))
            positions = torch.cat([rows, of_block])  # [count + b]
            order = cosines.argsort(descending=True, stable=True)[:count]
            best, rows = cosines[order], positions[order]
            first += len(block)
        named = self._names(rows.tolist())
        found: list[SearchResult] = []
        for cosine, (name, label) in zip(best.tolist(), named, strict=True):
            found.append(SearchResult(cosine, name, label))
        return found

    def ids(self) -> Iterator[str]:
        """The id of each vector."""
        yield from self.vectors.ids if self.vectors is not None else ()
        for file in self._files:
            for group in range(file.groups):
                yield from file.ids(group)

    def blocks_with_ids(self) -> Iterator[tuple[list[str], Tensor]]:
        """Ids and vectors [b, D], some rows at a time."""
        if self.vectors is not None:
            yield self.vectors.ids, self.vectors.vectors
        for file in self._files:
            for group, block in enumerate(file.blocks("vector")):
                yield file.ids(group), block

    def _blocks(self, column: str) -> Iterator[Tensor]:
        if self.vectors is not None:
            matrix = self.vectors.column(column)
            if matrix is not None:
                yield matrix
        for file in self._files:
            yield from file.blocks(column)

    def _names(self, rows: Sequence[int]) -> list[tuple[str, str]]:
        """Id and label of some rows."""
        if self.vectors is not None:
            ids, labels = self.vectors.ids, self.vectors.labels
            return [(ids[row], labels[row]) for row in rows]
        found: dict[int, tuple[str, str]] = {}
        first = 0
        for file in self._files:
            own_rows = [row - first for row in rows if first <= row < first + file.rows]
            for row, names in file.names(own_rows).items():
                found[first + row] = names
            first += file.rows
        return [found[row] for row in rows]
