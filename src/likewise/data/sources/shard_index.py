"""What one shard holds, as a JSON file next to it, so that training begins without reading the shard.

``likewise pack`` writes ``NAME.index.json`` for each shard, and its SHA-256 into ``manifest.json``. Of an archive it
holds each member's place, label, captions and record; of archives and Parquet files the headers of all images.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from likewise.data.left_out import Skipped
from likewise.data.packing.pack_facts import PackFacts
from likewise.data.pixel_source import Headers
from likewise.data.sources.header_scan import Scan, read_header, scan
from likewise.data.sources.shard_files import ShardFiles
from likewise.data.sources.tar_examples import Example, Shard, open_shard
from likewise.data.sources.tar_members import Member
from likewise.errors import LikewiseError

INDEX_FORMAT = 3
"""Raised when what an index holds, or how it is found, changes."""

SUFFIX = ".index.json"
"""What the name of a shard's index ends with, behind the name of the shard."""


class ShardIndex(NamedTuple):
    """What is known of one shard."""

    headers: Scan
    """of its images"""
    shard: Shard | None = None
    """what an archive holds; None of a Parquet file, whose own footer says it"""

    @property
    def images(self) -> int:
        """How many images it holds."""
        return len(self.headers.usable) + len(self.headers.refused)

    @property
    def end(self) -> int:
        """The first byte behind all images of an archive; 0 of a Parquet file."""
        members = [example.member for example in self.shard.examples] if self.shard else []
        return max((member.offset + member.size for member in members), default=0)

    def as_text(self) -> str:
        """The file's content."""
        content = {"format": INDEX_FORMAT, **_headers_content(self.headers)}
        if self.shard is not None:
            content |= _shard_content(self.shard)
        return json.dumps(content)


def index_of_archive(files: ShardFiles, number: int, name: str) -> ShardIndex:
    """Read an archive once.

    Args:
        files: the archives.
        number: which of them.
        name: what ids begin with.

    Raises:
        LikewiseError: it cannot be read, or is no tar archive.
    """
    shard = open_shard(files, number, name)
    members = [example.member for example in shard.examples]

    with files.open(number) as stream:
        # Read at a position, since threads and forked processes share the stream.
        opened = stream.fileno()
        found = scan(
            lambda i: read_header(os.pread(opened, members[i].size, members[i].offset)),
            len(members),
        )
    return ShardIndex(found, shard)


def read_index(text: str, called: str) -> ShardIndex:
    """What an index says.

    Args:
        text: the file's content.
        called: what an error calls the file.

    Raises:
        LikewiseError: it is damaged, or of another version.
    """
    try:
        content = json.loads(text)
        version = content["format"]
        if version == INDEX_FORMAT:
            return _checked(ShardIndex(_headers_of(content), _shard_of(content, called)))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LikewiseError(
            f"{called} is damaged ({type(error).__name__}: {error}). Copy it there again, or delete it: the shard is "
            f"then read once before step 0."
        ) from error
    raise LikewiseError(
        f"{called} is an index of format {version}; this version reads {INDEX_FORMAT}. Pack the set anew, or delete "
        f"the index: the shard is then read once before step 0."
    )


def digest(text: str) -> str:
    """The SHA-256 of an index."""
    return hashlib.sha256(text.encode()).hexdigest()


def joined(parts: Sequence[Scan]) -> Scan:
    """The headers of all shards, one behind the other."""
    sizes = [len(part.usable) + len(part.refused) for part in parts]
    starts = np.cumsum([0, *sizes[:-1]]).tolist()
    usable = [part.usable + start for part, start in zip(parts, starts, strict=True)]
    refused = {}
    for part, start in zip(parts, starts, strict=True):
        refused.update({start + row: reason for row, reason in part.refused.items()})
    headers = Headers(
        np.concatenate([part.headers.sizes for part in parts]),
        np.concatenate([part.headers.modes for part in parts]),
    )
    return Scan(np.concatenate(usable), headers, refused)


def _checked(index: ShardIndex) -> ShardIndex:
    """An index, if it can be one.

    Raises:
        ValueError: it cannot.
    """
    rows = [*index.headers.usable.tolist(), *index.headers.refused]
    if sorted(rows) != list(range(len(rows))):
        raise ValueError("headers are not of each image once")
    if (
        not len(index.headers.usable)
        == len(index.headers.headers.sizes)
        == len(index.headers.headers.modes)
    ):
        raise ValueError("headers differ in length")
    if index.shard is None:
        return index
    if len(index.shard.examples) != len(rows):
        raise ValueError("there are not as many headers as images")
    for example in index.shard.examples:
        _, offset, size = example.member
        if not (isinstance(offset, int) and isinstance(size, int) and min(offset, size) >= 0):
            raise ValueError(f"{example.key} lies at byte {offset!r} and has {size!r}")
        if not (isinstance(example.key, str) and isinstance(example.record, dict)):
            raise ValueError(f"{example.key!r} is no example")
    return index


def _headers_content(found: Scan) -> dict[str, Any]:
    return {
        "usable": found.usable.tolist(),
        "sizes": found.headers.sizes.tolist(),
        "modes": found.headers.modes.tolist(),
        "refused": list(found.refused.items()),
    }


def _headers_of(content: dict[str, Any]) -> Scan:
    headers = Headers(
        np.array(content["sizes"], dtype=np.int32).reshape(-1, 2),
        np.array(content["modes"], dtype=str),
    )
    return Scan(np.array(content["usable"], dtype=np.int64), headers, dict(content["refused"]))


def _shard_content(shard: Shard) -> dict[str, Any]:
    return {
        "examples": [
            [e.key, *e.member, list(e.captions), e.label, e.record] for e in shard.examples
        ],
        "skipped": shard.skipped,
        "unread": shard.unread,
        "damage": shard.damage,
        "facts": shard.facts.as_json().decode() if shard.facts is not None else None,
    }


def _shard_of(content: dict[str, Any], called: str) -> Shard | None:
    if "examples" not in content:
        return None
    facts = content["facts"]
    return Shard(
        examples=[
            Example(key, Member(name, offset, size), tuple(captions), label, record)
            for key, name, offset, size, captions, label, record in content["examples"]
        ],
        skipped=[Skipped(*skipped) for skipped in content["skipped"]],
        unread=Counter(content["unread"]),
        damage=content["damage"],
        facts=PackFacts.of_json(facts.encode(), called) if facts else None,
    )
