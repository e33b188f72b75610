"""The ``manifest.json`` that ``likewise pack`` writes next to shards: their digests, indices and numbers of images."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from likewise.counts import amount
from likewise.data.sources.attempts import AccessDenied
from likewise.data.sources.urls import RemoteFile, read_small, without_braces
from likewise.errors import LikewiseError

MANIFEST = "manifest.json"

FIELDS = {"name": str, "bytes": int, "sha256": str, "images": int, "index_sha256": str}
"""What is read of each shard, as far as it is there."""


def with_manifests(files: Sequence[RemoteFile], patterns: Sequence[str]) -> list[RemoteFile]:
    """The files with what the manifests in their folders say of them; those without a manifest stay as they are.

    Args:
        files: that were found.
        patterns: what named them.

    Raises:
        LikewiseError: a manifest cannot be read, names a file of that pattern that is missing, or a file is not as
            large as it says.
    """
    # What follows the ? of a web address, for instance its signature, is of one file alone.
    folders = {file.url.rpartition("/")[0] for file in files if not re.search("[?#]", file.url)}
    manifests = {folder: _entries(f"{folder}/{MANIFEST}") for folder in folders}
    wanted = [part for pattern in patterns for part in without_braces(pattern)]
    listed = {f"{folder}/{name}" for folder, entries in manifests.items() for name in entries}
    absent = listed - {file.url for file in files}
    missing = [url for url in absent if _is_named(url, wanted)]
    if missing:
        raise LikewiseError(
            f"{len(missing)} of {amount(len(files) + len(missing), 'file')} are missing, by the manifest next to them: "
            f"{', '.join(sorted(missing)[:5])}. Copy them there again."
        )
    checked = []
    for file in files:
        of_folder = manifests.get(file.url.rpartition("/")[0], {})
        checked.append(_checked(file, of_folder.get(file.name, {})))
    return checked


def _is_named(url: str, patterns: Sequence[str]) -> bool:
    """Whether a URL is one of a pattern with stars, or lies in the folder that one names."""
    return any(
        fnmatchcase(url, pattern) or url.startswith(f"{pattern.rstrip('/')}/")
        for pattern in patterns
    )


def _entries(url: str) -> dict[str, Mapping[str, Any]]:
    """What a manifest says of each shard, by its name; nothing where there is no manifest of shards."""
    try:
        content = read_small(url)
    except AccessDenied:
        content = None
    if content is None:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LikewiseError(
            f"{url} cannot be read ({error}). Write the set again, or delete that file."
        ) from error
    entries = found.get("shards") if isinstance(found, dict) else None
    named = [entry for entry in entries or () if isinstance(entry, dict) and "name" in entry]
    for entry in named:
        for field, kind in FIELDS.items():
            if type(entry.get(field, kind())) is not kind:
                raise LikewiseError(
                    f"{url} cannot be used: of {entry['name']} it gives {field} as {entry[field]!r}. Write the set "
                    f"again, or delete that file."
                )
    return {entry["name"]: entry for entry in named}


def _checked(file: RemoteFile, entry: Mapping[str, Any]) -> RemoteFile:
    size = entry.get("bytes", file.size)
    if size != file.size:
        raise LikewiseError(
            f"{file.url} has {file.size:,} bytes, and {size:,} by its manifest: it was cut short or replaced. Copy it "
            f"there again."
        )
    return file._replace(
        sha256=entry.get("sha256", ""),
        images=entry.get("images"),
        index_sha256=entry.get("index_sha256", ""),
    )
