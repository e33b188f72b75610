"""Encoded images of remote shards that are held in memory, because they are read in an order of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from likewise.counts import amount
from likewise.data.decode_file import Decoded, UnreadableImage, decode
from likewise.data.pixel_range import RangedPixels
from likewise.data.pixel_source import Encoded, Headers, PixelSource
from likewise.data.sources.shard_cache import as_typed
from likewise.data.sources.shard_files import CachedShards
from likewise.errors import LikewiseError

HELD_LIMIT = 2 * 2**30
"""Bytes of encoded images that may be held."""


@dataclass(frozen=True, eq=False)
class HeldPixels:
    """A source of which some images are in memory, still encoded."""

    source: PixelSource
    held: Mapping[int, Encoded]
    """by position"""

    def __len__(self) -> int:
        return len(self.source)

    @property
    def headers(self) -> Headers:
        """Those of the source."""
        return self.source.headers

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one image."""
        if position not in self.held:
            return self.source.read(position, size)
        return decode(self.held[position].content, self.held[position].name, size)

    def encoded(self, position: int) -> Encoded:
        """One image as it is stored."""
        return self.held[position] if position in self.held else self.source.encoded(position)

    def take(self, index: np.ndarray) -> HeldPixels:
        """Some rows."""
        held = {new: self.held[old] for new, old in enumerate(index.tolist()) if old in self.held}
        return HeldPixels(self.source.take(index), held)


def hold(
    source: PixelSource, rows: np.ndarray, shard_of: np.ndarray, files: CachedShards
) -> PixelSource:
    """The source with some of its images in memory; each shard that has one is read once.

    Args:
        source: the images.
        rows: int64, which are held.
        shard_of: int64 [N], the shard of each image.
        files: the shards.

    Raises:
        LikewiseError: they are more than `HELD_LIMIT` bytes, or a shard cannot be fetched.
    """
    if isinstance(source, RangedPixels):
        return replace(source, source=hold(source.source, rows, shard_of, files))
    held = dict[int, Encoded]()
    total = 0
    shards = shard_of[rows]
    for number in files.in_turn(np.unique(shards).tolist()):
        for row in rows[shards == number].tolist():
            try:
                held[row] = source.encoded(row)
            except UnreadableImage:
                continue  # it is replaced when it is read, as any other
            content = held[row].content
            total += len(content) if isinstance(content, bytes) else 0
            if total > HELD_LIMIT:
                raise _too_many(len(rows), files)
    return HeldPixels(source, held)


def _too_many(images: int, files: CachedShards) -> LikewiseError:
    needed = sum(file.size for file in files.files)
    return LikewiseError(
        f"The method needs a labelled batch beside each batch, and the {amount(images, 'labelled image')} are more "
        f"than the {HELD_LIMIT / 1e9:.1f} GB that may be held in memory. Give a smaller label budget, for instance "
        f"--labels 1%, or a cache that holds all shards: --cache-size {as_typed(needed)}."
    )
