"""Files inside tar archives: found once, then read where they lie, so that nothing is unpacked."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np

from likewise.data.compact_ids import take_ids
from likewise.data.decode_file import Decoded, UnreadableImage, decode
from likewise.data.pixel_source import Encoded, Headers
from likewise.data.sources.shard_files import ShardFiles
from likewise.errors import LikewiseError

BLOCK = 512
"""Bytes of a tar header; two of zeros end an archive, which tar then fills up to a whole record."""

RECORD_LIMIT = 2**20
"""Bytes behind the end mark that may be filling; more of them means that something is not being read."""


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    offset: int
    """where its bytes begin"""
    size: int


class Listing(NamedTuple):
    """What is in an archive."""

    members: list[Member]
    left_out: list[str]
    """names of links, devices and files whose bytes are not all there"""
    damage: str
    """why there may have been more; empty for a whole archive"""


def list_members(stream: BinaryIO, name: str) -> Listing:
    """The files of a tar archive that is not compressed, in order; of a damaged one those before the damage.

    Args:
        stream: the archive.
        name: what an error calls it.

    Raises:
        LikewiseError: it cannot be read, or is no such archive.
    """
    length, members, left_out, damage = stream.seek(0, io.SEEK_END), list[Member](), list[str](), ""
    try:
        stream.seek(0)
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            try:
                for entry in archive:
                    if entry.isdir():
                        continue
                    whole = (
                        entry.isreg()
                        and not entry.issparse()
                        and entry.offset_data + entry.size <= length
                    )
                    if whole:
                        members.append(Member(entry.name, entry.offset_data, entry.size))
                    else:
                        left_out.append(entry.name)
            except tarfile.ReadError as error:
                damage = str(error)
            end = archive.offset
    except (OSError, tarfile.TarError) as error:
        raise LikewiseError(
            f"{name} cannot be read as a tar archive: {error}. A compressed one has to be unpacked first, for "
            f"instance with gunzip: its files could not be read one by one."
        ) from error
    return Listing(members, left_out, damage or _damaged_end(stream, end, length))


def read_at(stream: BinaryIO, offset: int, size: int) -> bytes:
    """Some bytes of an archive."""
    stream.seek(offset)
    return stream.read(size)


@dataclass(frozen=True, eq=False)
class TarPixels:
    """Pixels of files inside tar archives."""

    files: ShardFiles
    locations: np.ndarray
    """int64 [N, 3]: archive, offset, size"""
    names: Sequence[str]
    """of the N in their archives"""
    headers: Headers

    def __len__(self) -> int:
        return len(self.locations)

    @property
    def shard_files(self) -> ShardFiles:
        """The archives."""
        return self.files

    @property
    def shard_numbers(self) -> np.ndarray:
        """int64 [N], the archive of each."""
        return self.locations[:, 0]

    def name(self, position: int) -> str:
        """What an error calls one member."""
        return f"{self.files.name(int(self.locations[position][0]))}, {self.names[position]}"

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one member."""
        return decode(self.content(position), self.name(position), size)

    def encoded(self, position: int) -> Encoded:
        """One member's bytes."""
        version = self.files.version(int(self.locations[position][0]))
        return Encoded(self.content(position), self.name(position), version)

    def content(self, position: int) -> bytes:
        """One member's bytes.

        Raises:
            UnreadableImage: the archive is gone or has become shorter.
            LikewiseError: it is remote, and cannot be copied.
        """
        file, offset, size = map(int, self.locations[position])
        try:
            with self.files.open(file) as stream:
                content = read_at(stream, offset, size)
        except OSError as error:
            raise UnreadableImage(f"{self.name(position)}: {error}") from error
        if not content or len(content) < size:
            raise UnreadableImage("zero bytes" if not size else f"{self.name(position)}: cut short")
        return content

    def take(self, index: np.ndarray) -> TarPixels:
        """Some rows; nothing is read."""
        names = take_ids(self.names, index)
        return TarPixels(self.files, self.locations[index], names, self.headers.take(index))


def _damaged_end(stream: BinaryIO, end: int, length: int) -> str:
    """What is wrong with an archive whose listing ended quietly, as tarfile's does at any header that it dislikes."""
    mark = read_at(stream, end, BLOCK)
    if not mark:
        return "it has no end mark, so it may be cut short"
    if any(mark):
        return f"there is no header at byte {end:,}"
    if length - end > RECORD_LIMIT:
        return f"its end mark is at byte {end:,} of {length:,}"
    return ""
