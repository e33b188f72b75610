"""Which shard each image of a source lies in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from likewise.data.pixel_range import RangedPixels
from likewise.data.pixel_source import ConcatPixels, PickedRows, PixelSource
from likewise.data.sources.shard_files import CachedShards, ShardFiles


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
