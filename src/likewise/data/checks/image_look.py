"""What decoding one image tells the doctor."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np

from likewise.data.checks.near_duplicates import thumbnail
from likewise.data.decode_file import UnreadableImage
from likewise.data.manifest import Manifest
from likewise.data.pixel_kinds import Kind, kind_of
from likewise.data.pixel_range import RangedPixels

FLAT = 4
"""range of grey levels, of 255, below which a thumbnail counts as blank"""


class Look(NamedTuple):
    """What decoding one image found."""

    digest: bytes
    thumbnail: np.ndarray
    low: int
    high: int
    """the least and the greatest of its 8-bit values"""
    is_constant: bool
    """whether all pixels are of one value, or of one colour"""
    peak: float | None
    """the greatest value in its file, where that has more than 8 bits"""
    kind: Kind
    """of the pixels in its file"""

    @property
    def is_visible(self) -> bool:
        """Whether there is enough to be seen in it for a comparison."""
        return int(self.thumbnail.max()) - int(self.thumbnail.min()) > FLAT


def look_at(manifest: Manifest, row: int) -> Look | str:
    """One image, or why it cannot be decoded."""
    source = manifest.pixels
    peak = None
    kind: Kind = "8 bits"
    try:
        if isinstance(source, RangedPixels):
            deep = source.source.read(row).pixels
            source.require_inside(deep, row)
            kind = kind_of(deep)
            if kind != "8 bits":
                source.require_numbers(deep)
                peak = float(np.nanmax(deep))
            pixels = source.range.to_bytes(deep)
        else:
            pixels = source.read(row).pixels
    except UnreadableImage as error:
        return str(error)
    return Look(
        digest=_digest(pixels),
        thumbnail=thumbnail(pixels),
        low=int(pixels.min()),
        high=int(pixels.max()),
        is_constant=bool((pixels == pixels[0, 0]).all()),
        peak=peak,
        kind=kind,
    )


def _digest(pixels: np.ndarray) -> bytes:
    """A hash of the pixels and of their shape."""
    digest = hashlib.blake2b(f"{pixels.shape} ".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()
