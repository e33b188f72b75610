"""Tar archives at URLs. What is in them is listed next to them, or else each is read once."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from likewise.counts import amount
from likewise.data.columns.column_names import MissingLabels
from likewise.data.manifest import Manifest
from likewise.data.sources.kept_indices import KeptIndices
from likewise.data.sources.shard_cache import ShardCache, as_typed
from likewise.data.sources.shard_files import COPIES_AT_A_TIME, CachedShards
from likewise.data.sources.shard_index import index_of_archive, joined
from likewise.data.sources.shards import with_headers
from likewise.data.sources.urls import RemoteFile
from likewise.data.sources.webdataset import manifest_of

WORTH_SAYING = 10
"""Seconds of reading from which on a line says, while it goes on, how long it takes."""


def open_remote_tars(
    files: Sequence[RemoteFile],
    names: Sequence[str],
    source: str,
    cache: ShardCache,
    missing: MissingLabels,
) -> Manifest:
    """The images of some archives; see `likewise.data.sources.webdataset.open_webdataset`.

    Args:
        files: the archives.
        names: what ids begin with.
        source: what to call them all.
        cache: where archives are copied to, and what is in each is kept.
        missing: what NaN, NA, N/A, None and null mean in a file of a class.

    Raises:
        LikewiseError: an archive cannot be copied or read, or holds another number of images than its manifest says.
    """
    kept, cached = KeptIndices(files, names, cache), CachedShards(files, cache)
    unknown = kept.unknown()
    reading = _Reading(source, [files[number].size for number in unknown])
    for number in cached.in_turn(unknown):
        kept.keep(number, index_of_archive(cached, number, names[number]))
        reading.one_done()
    indices = kept.load()
    shards = [index.shard for index in indices if index.shard is not None]
    whole, _ = manifest_of(shards, cached, names, source, missing)
    whole = replace(whole, notes=(*whole.notes, *reading.notes()))
    return with_headers(whole, np.arange(len(whole)), joined([i.headers for i in indices]))


class _Reading:
    """How long archives that have no index take to read.

    Args:
        source: what to call them.
        sizes: bytes of each.
    """

    def __init__(self, source: str, sizes: Sequence[int]) -> None:
        self._source, self._sizes, self._done = source, sizes, 0
        self._began = time.monotonic()

    def one_done(self) -> None:
        """Count an archive; where the others will take a while, say so, once."""
        self._done += 1
        # So many are fetched side by side, so that the first comes late.
        if self._done != COPIES_AT_A_TIME or os.environ.get("LOCAL_RANK", "0") != "0":
            return
        share = sum(self._sizes[: self._done]) / sum(self._sizes)
        left = self._seconds() * (1 - share) / share
        if left > WORTH_SAYING:
            line = f"{self._what()}: about {_duration(left)} more. {self._remedy()}"
            print(line, file=sys.stderr, flush=True)

    def notes(self) -> list[str]:
        """What was read, how long it took, and what would save it; nothing where nothing was read."""
        if not self._sizes:
            return []
        return [f"{self._what()}: that took {_duration(self._seconds())}. {self._remedy()}"]

    def _what(self) -> str:
        size = as_typed(sum(self._sizes))
        return f"{amount(len(self._sizes), 'archive')} ({size}) without an index, to be read once before step 0"

    def _remedy(self) -> str:
        return f"Shards with an index begin at once: likewise pack {self._source!r} --out SHARDS"

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
