"""Parquet files at URLs: footers and small columns are read by range, images through a cache of whole files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.parquet_reader import ParquetReader
from likewise.data.manifest import Manifest
from likewise.data.sources.attempts import with_attempts
from likewise.data.sources.kept_indices import KeptIndices
from likewise.data.sources.parquet import manifest_of, scan_rows
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.sources.shard_files import CachedShards
from likewise.data.sources.shard_index import joined
from likewise.data.sources.shards import LOOK_LIMIT, with_headers
from likewise.data.sources.urls import REQUESTS_AT_A_TIME, RemoteFile, filesystem_of
from likewise.errors import LikewiseError

LOOKED_AT = 4
"""Files of which the first images' headers are read before step 0, where the set is too large to read all."""


def open_remote_parquet(
    files: Sequence[RemoteFile],
    names: Sequence[str],
    source: str,
    columns: ColumnNames,
    cache: ShardCache,
) -> Manifest:
    """The images of some Parquet files; see `likewise.data.sources.parquet.open_parquet`.

    Args:
        files: of one set.
        names: what ids begin with.
        source: what to call them all.
        columns: which columns hold what.
        cache: where files are copied to.

    Raises:
        LikewiseError: as `open_parquet`, or a file cannot be copied.
    """
    cached = CachedShards(files, cache)
    kept = KeptIndices(files, names, cache)
    is_indexed = all(file.index_sha256 for file in files) and not kept.unknown()
    is_small = not is_indexed and sum(file.size for file in files) <= min(LOOK_LIMIT, cache.limit)
    if is_small:
        readers = [
            ParquetReader(cached.open(number), files[number].url)
            for number in cached.in_turn(range(len(files)))
        ]
    else:
        with ThreadPoolExecutor(REQUESTS_AT_A_TIME) as threads:
            readers = list(
                threads.map(
                    lambda file: ParquetReader(io.BufferedReader(Ranges(file)), file.url), files
                )
            )
    whole = manifest_of(readers, cached, names, source, columns)
    if is_indexed:
        headers = joined([index.headers for index in kept.load()])
        return with_headers(whole, np.arange(len(whole)), headers)
    spread = np.linspace(0, len(files) - 1, LOOKED_AT).round().astype(int).tolist()
    return scan_rows(whole, None if is_small else sorted(set(spread)))


class Ranges(io.RawIOBase):
    """A remote file of which only the bytes that are read are fetched."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position; nothing is fetched."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fetch as many bytes as there is room for.

        Raises:
            LikewiseError: the server gives no parts of files.
            EnvironmentIOError: it does not answer.
        """
        wanted = min(len(buffer), self._file.size - self._at)
        if wanted <= 0:
            return 0
        content = with_attempts(lambda: _range(self._file, self._at, wanted), self._file.url)
        buffer[:wanted] = content
        self._at += wanted
        return wanted


def _range(file: RemoteFile, start: int, length: int) -> bytes:
    files, path = filesystem_of(file.url)
    try:
        with files.open(path, "rb", cache_type="none", size=file.size) as stream:
            stream.seek(start)
            content = stream.read(length)
    except ValueError as error:  # fsspec's for a whole file in answer to a range
        raise LikewiseError(
            f"{file.url}: the server gives no parts of files (HTTP ranges), which Parquet files of more than "
            f"{LOOK_LIMIT / 1e9:.1f} GB, or than the cache, need. Serve them from another server, or copy them here."
        ) from error
    if len(content) != length:
        raise OSError(f"{len(content):,} of {length:,} bytes arrived")
    return content
