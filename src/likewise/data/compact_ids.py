"""Ids of very many examples: sequences of texts that hold a few bytes for each, where a list holds 80 and more."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np

from likewise.data.file_names import written_name


class CompactIds(Sequence[str]):
    """Texts that are made when they are asked for."""

    def take(self, rows: np.ndarray) -> CompactIds:
        """The texts at some positions, int64 [n], in that order."""
        raise NotImplementedError

    def at(self, position: int) -> str:
        """The text at a position from 0."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self.at(position) for position in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(index)
        return self.at(int(position))


class RowIds(CompactIds):
    """A file's name and a number: ``train.parquet/17``.

    Args:
        names: of the files.
        file: int [N], number of each example's file.
        row: int [N], its number in that file.
    """

    def __init__(self, names: Sequence[str], file: np.ndarray, row: np.ndarray) -> None:
        self._names = [written_name(name) for name in names]
        self._file, self._row = file, row

    def __len__(self) -> int:
        return len(self._row)

    def at(self, position: int) -> str:
        """The text at a position from 0."""
        return f"{self._names[self._file[position]]}/{self._row[position]}"

    def take(self, rows: np.ndarray) -> RowIds:
        """The texts at some positions."""
        return RowIds(self._names, self._file[rows], self._row[rows])


class StoredIds(CompactIds):
    """Texts that are held as one block of UTF-8.

    Args:
        texts: read once; bytes of file names that are no UTF-8 are written as `written_name` does.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        block, ends = bytearray(), array("q", [0])
        for text in texts:
            block += written_name(text).encode()
            ends.append(len(block))
        self._block, self._ends = bytes(block), ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def at(self, position: int) -> str:
        """The text at a position from 0."""
        return self._block[self._ends[position] : self._ends[position + 1]].decode()

    def take(self, rows: np.ndarray) -> StoredIds:
        """The texts at some positions."""
        return StoredIds(map(self.at, rows.tolist()))


def take_ids(ids: Sequence[str], rows: np.ndarray) -> Sequence[str]:
    """The ids at some positions, int64 [n], in that order."""
    if isinstance(ids, CompactIds):
        return ids.take(rows)
    return [ids[int(row)] for row in rows]
