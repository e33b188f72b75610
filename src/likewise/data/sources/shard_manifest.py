"""The ``manifest.json`` that ``likewise pack`` writes next to shards: their digests, indices and numbers of images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from braceexpand import braceexpand

from likewise.counts import amount
from likewise.data.sources.urls import RemoteFile, read_small
from likewise.errors import LikewiseError

MANIFEST = "manifest.json"


def with_manifests(files: Sequence[RemoteFile], patterns: Sequence[str]) -> list[RemoteFile]:
    """The files with what the manifests in their folders say of them; those without a manifest stay as they are.

    Args:
        files: that were found.
        patterns: what named them.

    Raises:
        LikewiseError: a manifest cannot be read, names a file of that pattern that is missing, or a file is not as
            large as it says.
    """
    folders = {file.url.rpartition("/")[0] for file in files}
    manifests = {folder: _entries(f"{folder}/{MANIFEST}") for folder in folders}
    wanted = [part for pattern in patterns for part in braceexpand(pattern)]
    listed = [f"{folder}/{name}" for folder, entries in manifests.items() for name in entries]
    missing = {url for url in listed if any(_names(part, url) for part in wanted)} - {
        file.url for file in files
    }
    if missing:
        raise LikewiseError(
            f"{len(missing)} of {amount(len(files) + len(missing), 'file')} are missing, by the manifest next to them: "
            f"{', '.join(sorted(missing)[:5])}. Copy them there again."
        )
    return [
        _checked(file, manifests[file.url.rpartition("/")[0]].get(file.name, {})) for file in files
    ]


def _names(pattern: str, url: str) -> bool:
    """Whether a URL is one of a pattern with stars, or lies in the folder that it names."""
    return fnmatchcase(url, pattern) or url.startswith(f"{pattern.rstrip('/')}/")


def _entries(url: str) -> dict[str, Mapping[str, Any]]:
    """What a manifest says of each shard, by its name; nothing where there is no manifest of shards."""
    content = read_small(url)
    if content is None:
        return {}
    try:
        found = json.loads(content)
        entries = found.get("shards", []) if isinstance(found, dict) else []
        return {
            entry["name"]: entry for entry in entries if isinstance(entry, dict) and "name" in entry
        }
    except ValueError as error:
        raise LikewiseError(
            f"{url} cannot be read ({error}). Write the set again, or delete that file."
        ) from error


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
