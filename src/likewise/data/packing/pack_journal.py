"""Which shards of a set are finished, so that packing goes on where it was stopped."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from likewise.atomic_write import disk_error, write_bytes
from likewise.data.manifest import Manifest
from likewise.data.packing.pack_facts import FORMAT, PackFacts
from likewise.errors import LikewiseError
from likewise.write_lock import LOCK, only_writer_in

MANIFEST, JOURNAL = "manifest.json", "packing.jsonl"
"""Files next to the shards: what they are once all are there, and until then those that are finished."""


class WrittenShard(NamedTuple):
    """A finished shard."""

    name: str
    split: str
    images: int
    bytes: int
    """of the file"""
    sha256: str
    """of the file"""
    index_sha256: str
    """SHA-256 of its index"""
    following: int
    """position in its split of the example that the next shard begins with"""
    left_out: dict[str, str]
    """ids of files between its examples that cannot be read, each with the reason"""


class PackJournal:
    """The finished shards in a folder, a line each."""

    def __init__(self, folder: Path, stream: IO[str], shards: list[WrittenShard]) -> None:
        self.folder, self._stream, self.shards = folder, stream, shards

    def add(self, shard: WrittenShard) -> None:
        """Note a finished shard; what is noted survives a kill."""
        self._stream.write(json.dumps(shard._asdict()) + "\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self.shards.append(shard)

    def write_manifest(self, facts: PackFacts, identity: str) -> None:
        """Say that all shards are there, in place of the journal."""
        entries, left_out = [], dict[str, str]()
        for shard in self.shards:
            fields = shard._asdict()
            entries.append({name: fields[name] for name in _LISTED})
            left_out |= shard.left_out
        content = {
            "format": FORMAT,
            "images": sum(shard.images for shard in self.shards),
            "class_names": list(facts.class_names),
            "columns": list(facts.columns),
            "shards": entries,
            "left_out": left_out,
            "identity": identity,
        }
        write_bytes(
            self.folder / MANIFEST,
            (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(),
        )
        (self.folder / JOURNAL).unlink()


_LISTED = ("name", "split", "images", "bytes", "sha256", "index_sha256")
"""What ``manifest.json`` says of each shard."""


@contextmanager
def open_journal(folder: Path, identity: str) -> Iterator[PackJournal]:
    """The journal of a folder, begun or continued, which no other process can open meanwhile.

    Args:
        folder: of the shards.
        identity: of what is packed, see `identity_of`.

    Raises:
        LikewiseError: the folder holds something else, or another process is packing into it.
    """
    with only_writer_in(folder), _opened(folder) as stream:
        stream.seek(0)
        lines = [line for line in stream.read().splitlines(keepends=True) if line.endswith("\n")]
        # A line that a kill left unfinished.
        stream.truncate(sum(len(line.encode()) for line in lines))
        if not lines:
            stream.write(json.dumps({"identity": identity}) + "\n")
            stream.flush()
        elif json.loads(lines[0])["identity"] != identity:
            raise LikewiseError(
                f"{folder} holds unfinished shards of other images, or of other options. Choose another --out, or "
                f"delete that folder."
            )
        yield PackJournal(folder, stream, [WrittenShard(**json.loads(line)) for line in lines[1:]])


def _opened(folder: Path) -> IO[str]:
    _require_room(folder)
    try:
        return (folder / JOURNAL).open("a+", encoding="utf-8")
    except OSError as error:
        raise disk_error(folder / JOURNAL, error) from error


def _require_room(folder: Path) -> None:
    """Refuse a folder that holds something besides unfinished shards."""
    if (folder / JOURNAL).exists():
        return
    found = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
    if found:
        more = ", ..." if len(found) > 3 else ""
        raise LikewiseError(
            f"{folder} is not empty ({', '.join(found[:3])}{more}). Choose another --out."
        )


def identity_of(manifest: Manifest, facts: PackFacts, options: Sequence[object]) -> str:
    """Changes when another set, or the same one in another way, is packed.

    Args:
        manifest: the set.
        facts: what holds for all of it.
        options: how it is packed.
    """
    content = hashlib.sha256(
        repr((FORMAT, facts, tuple(options))).encode("utf-8", "surrogateescape")
    )
    for name in manifest.ids:
        content.update(f"{name}\0".encode("utf-8", "surrogateescape"))
    content.update(manifest.labels.numpy().tobytes())
    content.update("\0".join(manifest.splits.tolist()).encode())
    return content.hexdigest()
