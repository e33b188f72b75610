"""Pixels that lie encoded in Parquet files, read by row group."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from likewise.data.decode_file import Decoded, UnreadableImage, decode
from likewise.data.pixel_source import Encoded, Headers
from likewise.data.sources.shard_files import ShardFiles

CACHE_BYTES = 2**30
"""Encoded bytes that are cached; a set with more is read again group by group as rows are requested."""

IN_ORDER_BYTES = 2**25
"""Encoded bytes that are cached where rows are read in order."""


class Location(NamedTuple):
    """Where a row is."""

    file: int
    group: int
    row: int


class RowGroups:
    """The encoded images of some files, the row groups used last cached in memory.

    Safe for threads. Worker processes that are forked share what is cached; a pickled copy starts empty.
    """

    def __init__(self, files: ShardFiles, column: str) -> None:
        self.files, self.column = files, column
        self.limit: int | None = None
        """bytes that are cached; None: `CACHE_BYTES`"""
        self._cache: OrderedDict[tuple[int, int], pa.Array] = OrderedDict()
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"files": self.files, "column": self.column, "limit": self.limit}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["files"], state["column"])
        self.limit = state["limit"]

    def read(self, location: Location) -> bytes | None:
        """The encoded image of a row; None where the column has no bytes.

        Raises:
            UnreadableImage: the file is gone, or damaged where the row lies.
        """
        try:
            with self._lock:
                group = self._group(location.file, location.group)
            return group[location.row].as_py()
        except (OSError, ValueError, LookupError, pa.ArrowException) as error:
            raise UnreadableImage(f"{self.name(location)}: {error}") from error

    def read_ahead(self, locations: np.ndarray) -> None:
        """Cache the first row groups of these rows, as many as fit, for processes forked from here on."""
        for file, group in dict.fromkeys(map(tuple, locations[:, :2].tolist())):
            if sum(array.nbytes for array in self._cache.values()) >= CACHE_BYTES:
                return
            with suppress(UnreadableImage):  # said where its rows are read
                self.read(Location(file, group, 0))

    def keep_little(self) -> None:
        """Keep the newest row groups alone, for rows that are read in order."""
        with self._lock:
            self.limit = IN_ORDER_BYTES
            self._forget_oldest()

    def name(self, location: Location) -> str:
        """What a message calls a row."""
        return f"{self.files.name(location.file)}, row {location.row} of row group {location.group}"

    def _group(self, file: int, group: int) -> pa.Array:
        if (file, group) not in self._cache:
            with self.files.open(file) as stream, pq.ParquetFile(stream) as reader:
                table = reader.read_row_group(group, columns=[self.column], use_threads=False)
            column = table.column(0).combine_chunks()
            column = (
                pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
            )
            self._cache[file, group] = (
                column.field("bytes") if pa.types.is_struct(column.type) else column
            )
            self._forget_oldest()
        self._cache.move_to_end((file, group))
        return self._cache[file, group]

    def _forget_oldest(self) -> None:
        limit = CACHE_BYTES if self.limit is None else self.limit
        while len(self._cache) > 1 and sum(a.nbytes for a in self._cache.values()) > limit:
            self._cache.popitem(last=False)


@dataclass(frozen=True, eq=False)
class ParquetCell:
    """One encoded image in a Parquet file."""

    groups: RowGroups
    location: Location

    def read(self) -> bytes | None:
        """Its bytes; None where the column has none."""
        return self.groups.read(self.location)

    def __str__(self) -> str:
        return self.groups.name(self.location)


@dataclass(frozen=True, eq=False)
class ParquetPixels:
    """Pixels of rows of Parquet files."""

    groups: RowGroups
    locations: np.ndarray
    """int32 [N, 3]: file, row group, row in it"""
    headers: Headers

    def __len__(self) -> int:
        return len(self.locations)

    @property
    def shard_files(self) -> ShardFiles:
        """The files."""
        return self.groups.files

    @property
    def shard_numbers(self) -> np.ndarray:
        """int32 [N], the file of each row."""
        return self.locations[:, 0]

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one row."""
        content, name = self._content(position)
        return decode(content, name, size)

    def encoded(self, position: int) -> Encoded:
        """One row's bytes."""
        version = self.groups.files.version(int(self.locations[position][0]))
        return Encoded(*self._content(position), version)

    def _content(self, position: int) -> tuple[bytes, str]:
        location = Location(*self.locations[position].tolist())
        content = self.groups.read(location)
        if not content:
            raise UnreadableImage(f"{self.groups.name(location)}: zero bytes")
        return content, self.groups.name(location)

    def take(self, index: np.ndarray) -> ParquetPixels:
        """Some rows; nothing is read."""
        return ParquetPixels(self.groups, self.locations[index], self.headers.take(index))
