"""Several files that make up one set, as Parquet files and tar archives do: which they are, and a look into them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from likewise.counts import amount
from likewise.data.left_out import Skipped
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import Headers
from likewise.data.sources.arrangement import SPLIT_NAMES
from likewise.data.sources.folder import describe
from likewise.data.sources.header_scan import Scan, read_header, scan
from likewise.errors import LikewiseError

LOOK_LIMIT = 2 * 2**30
"""Bytes of a set's files up to which every header is read before step 0; of more, those of each file's first images."""

FIRST = 256
"""Images of each file whose headers are read before step 0 where there are too many bytes to read all."""

LARGE = "large: only the first images of each file were checked before step 0"
"""What is noted of such a set."""


def find_shards(folder: Path, suffix: str) -> list[Path]:
    """Files of one ending below a folder, in order; hidden ones are passed over."""
    found = list[Path]()
    for path in folder.rglob("*"):
        if path.suffix.lower() != suffix or not path.is_file():
            continue
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            found.append(path)
    return sorted(found)


def is_large(files: Sequence[Path]) -> bool:
    """Whether files are too many bytes for all of their images to be scanned at before step 0."""
    return sum(file.stat().st_size for file in files) > LOOK_LIMIT


def split_of(name: str) -> str:
    """The split that the name of a file tells, else "train"."""
    words = re.split(r"[-_.]", PurePosixPath(name).stem.lower())
    for word in (words[0], words[-1], *words):
        if word in SPLIT_NAMES:
            return SPLIT_NAMES[word].replace("unlabelled", "train")
    return "train"


def shard_names(files: Sequence[Path]) -> list[str]:
    """Names that differ from each other: without their folders, where that is enough."""
    names = [file.name for file in files]
    return names if len(set(names)) == len(names) else [file.as_posix() for file in files]


def scan_headers(
    manifest: Manifest, scanned: np.ndarray, content: Callable[[int], bytes]
) -> Manifest:
    """A manifest with the headers of some examples, less those of them that are no image.

    Args:
        manifest: its pixels are a dataclass with a field ``headers``.
        scanned: int64 [n], positions of those whose headers are read.
        content: the encoded bytes at a position; raises UnreadableImage where there are none.

    Raises:
        LikewiseError: no example is left.
    """
    return with_headers(manifest, scanned, read_headers(scanned, content))


def read_headers(scanned: np.ndarray, content: Callable[[int], bytes]) -> Scan:
    """The headers of some examples; see `scan_headers`."""
    return scan(lambda i: read_header(content(int(scanned[i]))), len(scanned))


def with_headers(manifest: Manifest, scanned: np.ndarray, found: Scan) -> Manifest:
    """A manifest with the headers that were read, less the examples that turned out to be no image.

    Args:
        manifest: its pixels are a dataclass with a field ``headers``.
        scanned: int64 [n], positions of the examples whose headers were read.
        found: what was found there.

    Raises:
        LikewiseError: no example is left.
    """
    refused = {int(scanned[i]): reason for i, reason in found.refused.items()}
    skipped = [Skipped(manifest.ids[i], reason) for i, reason in refused.items()]
    usable = np.setdiff1d(np.arange(len(manifest)), list(refused))
    if not len(usable):
        raise LikewiseError(
            f"{manifest.source}: none of its {amount(len(manifest), 'image')} can be used. {describe(skipped)}"
        )
    headers = Headers.unread(len(manifest)).with_read(scanned[found.usable], found.headers)
    rest = manifest
    if refused:
        rest, headers = manifest.take(usable), headers.take(usable)
    pixels: Any = rest.pixels
    pixels = replace(pixels, headers=headers)
    return replace(rest, pixels=pixels, skipped=(*manifest.skipped, *skipped))
