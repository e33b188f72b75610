"""Fills shards with examples, one after another, and reads each back before it counts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from likewise.atomic_write import write_bytes
from likewise.data.decode_file import UnreadableImage
from likewise.data.left_out import MAX_BAD, require_few_unread
from likewise.data.manifest import Manifest
from likewise.data.packing.pack_facts import PackFacts
from likewise.data.packing.pack_journal import PackJournal, WrittenShard
from likewise.data.packing.packed_example import PackedExample, read_example
from likewise.data.packing.read_back import read_back, require_whole, sha256_of
from likewise.data.packing.shard_writers import SUFFIX, ShardFormat, write_shard
from likewise.data.pixel_source import NeverEncoded
from likewise.data.sources.shard_index import SUFFIX as INDEX_SUFFIX
from likewise.data.stable_order import stable_score
from likewise.errors import EnvironmentIOError, LikewiseError

MEGABYTE = 10**6

AT_A_TIME = 64
"""files that are read and decoded together"""


SHARD_SIZE = 256
"""Megabytes of image files in a shard unless another size is given."""


class PackSettings(NamedTuple):
    """How a set is packed."""

    to: ShardFormat = "wds"
    """wds: tar archives as WebDataset has them; parquet: Parquet files as Hugging Face has them"""
    shard_size: int = SHARD_SIZE
    """megabytes (10^6 bytes) of image files in a shard, after which the next one begins"""
    shuffle: int | None = None
    """seed of the order in which examples lie in the shards; None: as in the source"""
    max_bad: float = MAX_BAD
    """share of the files, 0 to 1, that may be unreadable; more of them end the packing"""


class Packer:
    """Packs one split after another, from where the journal ends."""

    def __init__(
        self, manifest: Manifest, facts: PackFacts, settings: PackSettings, journal: PackJournal
    ) -> None:
        self.manifest, self.facts, self.settings, self.journal = manifest, facts, settings, journal
        for shard in journal.shards:
            require_whole(journal.folder, shard.name, shard.sha256, shard.index_sha256)
        self.require_few_read_errors({})

    def pack_split(self, split: str) -> None:
        """Write the shards of a split that are not there yet."""
        rows = np.flatnonzero(self.manifest.splits == split)
        if self.settings.shuffle is not None:
            key = f"pack {self.settings.shuffle}"
            scores = [stable_score(key, self.manifest.ids[int(row)]) for row in rows]
            rows = rows[np.argsort(np.array(scores, dtype=np.uint64), kind="stable")]
        shards = [shard for shard in self.journal.shards if shard.split == split]
        position = shards[-1].following if shards else 0
        images = sum(shard.images for shard in shards)
        while position < len(rows):
            name = f"{split}-{len(shards):06d}{SUFFIX[self.settings.to]}"
            shard = self._write(name, split, rows, position, images)
            shards.append(shard)
            position, images = shard.following, images + shard.images

    def _write(
        self, name: str, split: str, rows: np.ndarray, start: int, first: int
    ) -> WrittenShard:
        """Write, read back and note one shard."""
        file, filling = self.journal.folder / name, _Filling(self, rows, start)
        # Hidden, so that no reader takes it for a shard.
        partial = file.with_name(f".{name}.partial{file.suffix}")
        try:
            write_shard(self.settings.to, partial, self.facts, first, filling)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise EnvironmentIOError(
                f"{partial} cannot be written: {error.strerror or error}. Free some space, then type the same command: "
                f"it goes on with the next shard."
            ) from error
        index = read_back(partial, name, filling.digests).as_text().encode()
        with partial.open("rb") as stream:
            os.fsync(stream.fileno())
        size, digest = partial.stat().st_size, sha256_of(partial)
        write_bytes(file.with_name(f"{name}{INDEX_SUFFIX}"), index)
        os.replace(partial, file)
        shard = WrittenShard(
            name,
            split,
            len(filling.digests),
            size,
            digest,
            hashlib.sha256(index).hexdigest(),
            filling.position,
            filling.left_out,
        )
        self.journal.add(shard)
        return shard

    def require_few_read_errors(self, more: dict[str, str]) -> None:
        """Refuse that more files cannot be read than may be left out."""
        unread = self.manifest.unread
        files = len(self.manifest) + len(unread)
        for shard in self.journal.shards:
            unread |= shard.left_out
        require_few_unread(unread | more, files, self.settings.max_bad)


class _Filling:
    """The examples of one shard, from a position of a split on until the shard has its size."""

    def __init__(self, packer: Packer, rows: np.ndarray, start: int) -> None:
        self._packer, self._rows, self.position = packer, rows, start
        self.digests: list[bytes] = []
        """of the examples that were given out"""
        self.left_out: dict[str, str] = {}

    def __iter__(self) -> Iterator[PackedExample]:
        room = self._packer.settings.shard_size * MEGABYTE
        with ThreadPoolExecutor() as readers:
            while self.position < len(self._rows):
                some = self._rows[self.position : self.position + AT_A_TIME].tolist()
                for row, found in zip(some, readers.map(self._read, some), strict=True):
                    if isinstance(found, str):
                        self._leave_out(row, found)
                        continue
                    room -= len(found.content)
                    if room < 0 and self.digests:
                        return
                    self.position += 1
                    self.digests.append(found.digest())
                    yield found

    def _read(self, row: int) -> PackedExample | str:
        try:
            return read_example(self._packer.manifest, row)
        except NeverEncoded as error:
            source = self._packer.manifest.source
            raise LikewiseError(
                f"{source} holds pixels, not image files ({error}), so there are no bytes to pack. Give a folder of "
                f"images, a CSV of paths, Parquet files or tar archives."
            ) from error
        except UnreadableImage as error:
            return str(error)

    def _leave_out(self, row: int, reason: str) -> None:
        self.left_out[self._packer.manifest.ids[row]] = reason
        self.position += 1
        self._packer.require_few_read_errors(self.left_out)
