"""A Parquet file whose errors say which file and which column is damaged."""

from __future__ import annotations

from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from likewise.errors import LikewiseError


class ParquetReader(pq.ParquetFile):
    """A Parquet file, its footer read.

    Args:
        stream: the file.
        name: what an error calls it.

    Raises:
        LikewiseError: it is no Parquet file.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        try:
            super().__init__(stream, pre_buffer=True)
            _ = self.schema_arrow  # made when it is asked for, and may turn out to be damaged then
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise LikewiseError(f"{name} cannot be read as Parquet: {error}.") from error

    def values(self, column: str) -> list[Any]:
        """A column as Python values.

        Raises:
            LikewiseError: its pages are damaged.
        """
        try:
            return self.read([column]).column(column).to_pylist()
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise LikewiseError(
                f"{self.name} is damaged: its column {column!r} cannot be read ({error}). Fetch the file again, or "
                f"leave it out."
            ) from error
