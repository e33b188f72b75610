"""Tar archives at URLs: each is read once, and what is in it is kept in the cache, so that later runs begin at once."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from likewise.atomic_write import disk_error
from likewise.data.columns.column_names import MissingLabels
from likewise.data.left_out import Skipped
from likewise.data.manifest import Manifest
from likewise.data.packing.pack_facts import PackFacts
from likewise.data.pixel_source import Headers
from likewise.data.sources.header_scan import Scan, read_header, scan
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.sources.shard_files import CachedShards
from likewise.data.sources.shards import with_headers
from likewise.data.sources.tar_members import Member
from likewise.data.sources.urls import RemoteFile
from likewise.data.sources.webdataset import Example, Shard, manifest_of, open_shard
from likewise.errors import LikewiseError

FORMAT = 2
"""Raised when what is kept, or how it is found, changes."""


class Index(NamedTuple):
    """What one archive holds, and the headers of its images."""

    shard: Shard
    headers: Scan


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
        LikewiseError: an archive cannot be copied or read, or holds fewer images than its manifest says.
    """
    paths = [_index_path(file, name, cache) for file, name in zip(files, names, strict=True)]
    unknown = [number for number, path in enumerate(paths) if not _is_intact(path)]
    cached = CachedShards(files, cache)
    for number in cached.in_turn(unknown):
        _store(_read_index(cached, number, names[number]), paths[number])
    indices = [_load(path) for path in paths]
    for file, index in zip(files, indices, strict=True):
        _require_all(file, index)
    whole, _ = manifest_of([index.shard for index in indices], cached, names, source, missing)
    return with_headers(whole, np.arange(len(whole)), _joined([index.headers for index in indices]))


def _index_path(file: RemoteFile, name: str, cache: ShardCache) -> Path:
    key = hashlib.blake2b(
        f"{FORMAT}\0{cache.key(file)}\0{name}".encode(), digest_size=12
    ).hexdigest()
    return cache.folder / "index" / f"{key}.json"


def _read_index(files: CachedShards, number: int, name: str) -> Index:
    shard = open_shard(files, number, name)
    members = [example.member for example in shard.examples]
    with files.open(number) as stream:
        # Read at a position, since threads and forked processes share the stream.
        opened = stream.fileno()
        found = scan(
            lambda i: read_header(os.pread(opened, members[i].size, members[i].offset)),
            len(members),
        )
    return Index(shard, found)


def _require_all(file: RemoteFile, index: Index) -> None:
    found = len(index.shard.examples)
    if file.images is not None and found != file.images:
        raise LikewiseError(
            f"{file.url} holds {found:,} images, and {file.images:,} by its manifest. Write the set again, or delete "
            f"the manifest."
        )


def _joined(parts: Sequence[Scan]) -> Scan:
    """The headers of all archives, one behind the other."""
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


def _store(index: Index, path: Path) -> None:
    shard, headers = index
    content = {
        "examples": [
            [e.key, *e.member, list(e.captions), e.label, e.record] for e in shard.examples
        ],
        "skipped": shard.skipped,
        "unread": shard.unread,
        "damage": shard.damage,
        "facts": shard.facts.as_json().decode() if shard.facts is not None else None,
        "usable": headers.usable.tolist(),
        "sizes": headers.headers.sizes.tolist(),
        "modes": headers.headers.modes.tolist(),
        "refused": list(headers.refused.items()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(f"{_digest(text)}\n{text}")
        part.rename(path)
    except OSError as error:
        raise disk_error(path, error, len(text), "choose another --cache-dir") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _is_intact(path: Path) -> bool:
    """Whether what is kept is as it was written; what was damaged is read from the archive again."""
    try:
        digest, _, text = path.read_text().partition("\n")
    except (OSError, ValueError):
        return False
    return digest == _digest(text)


def _load(path: Path) -> Index:
    content: dict[str, Any] = json.loads(path.read_text().partition("\n")[2])
    shard = Shard(
        examples=[
            Example(key, Member(name, offset, size), tuple(captions), label, record)
            for key, name, offset, size, captions, label, record in content["examples"]
        ],
        skipped=[Skipped(*skipped) for skipped in content["skipped"]],
        unread=Counter(content["unread"]),
        damage=content["damage"],
        facts=PackFacts.of_json(content["facts"].encode(), str(path)) if content["facts"] else None,
    )
    headers = Headers(
        np.array(content["sizes"], dtype=np.int32).reshape(-1, 2),
        np.array(content["modes"], dtype=str),
    )
    return Index(
        shard, Scan(np.array(content["usable"], dtype=np.int64), headers, dict(content["refused"]))
    )
