"""Which shard each image of a source lies in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from likewise.data.even_sample import evenly_spaced
from likewise.data.pixel_range import RangedPixels
from likewise.data.pixel_source import ConcatPixels, PickedRows, PixelSource
from likewise.data.sources.shard_files import CachedShards, ShardFiles

LOOKED_AT = 4
"""Remote shards of which images are looked at before step 0."""


class Shards(NamedTuple):
    """The shards of a source."""

    files: ShardFiles
    number: np.ndarray
    """int64 [N], the shard of each image"""


def shards_of(pixels: PixelSource) -> Shards | None:
    """The shards of a source; None where some of its images lie in no shard."""
    if isinstance(pixels, RangedPixels):
        return shards_of(pixels.source)
    if isinstance(pixels, PickedRows):
        whole = shards_of(pixels.source)
        return whole and Shards(whole.files, whole.number[pixels.index])
    if isinstance(pixels, ConcatPixels):
        return _joined([shards_of(part) for part in pixels.parts])
    files = getattr(pixels, "shard_files", None)
    number = getattr(pixels, "shard_numbers", None)
    return None if files is None or number is None else Shards(files, number)


def rows_of_few_shards(pixels: PixelSource) -> np.ndarray:
    """Int64: the images in a few shards, spread evenly, where shards are remote; all images else.

    A sample of the whole set would have every shard fetched.
    """
    shards = shards_of(pixels)
    if shards is None or not isinstance(shards.files, CachedShards):
        return np.arange(len(pixels))
    there = np.unique(shards.number)
    few = there[evenly_spaced(len(there), LOOKED_AT)]
    return np.flatnonzero(np.isin(shards.number, few))


def read_in_order(pixels: PixelSource) -> None:
    """Have little kept of what has been read, since no image will be read twice."""
    if isinstance(pixels, RangedPixels | PickedRows):
        read_in_order(pixels.source)
    if isinstance(pixels, ConcatPixels):
        for part in pixels.parts:
            read_in_order(part)
    groups = getattr(pixels, "groups", None)
    if groups is not None:
        groups.keep_little()


def _joined(parts: Sequence[Shards | None]) -> Shards | None:
    """The shards of several sources, which are all remote."""
    cached = [
        part.files for part in parts if part is not None and isinstance(part.files, CachedShards)
    ]
    if len(cached) < len(parts):
        return None
    files = []
    numbers = []
    for part, shards in zip(parts, cached, strict=True):
        assert part is not None
        numbers.append(part.number + len(files))
        files += shards.files
    return Shards(CachedShards(files, cached[0].cache), np.concatenate(numbers))
