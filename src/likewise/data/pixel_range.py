"""One scale for the pixels of a set that are deeper than 8 bits: which values become black and which white."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from likewise.data.manifest import Manifest
from likewise.data.pixel_source import (
    ArrayPixels,
    ConcatPixels,
    Decoded,
    Encoded,
    Headers,
    PixelSource,
    UnreadableImage,
)
from likewise.errors import LikewiseError

EIGHT_BIT_MODES = frozenset("1 L P PA LA La RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV video clip".split())
"""Modes whose pixels have 8 bits at most; an empty mode says that no header was read."""
BITS = (8, 10, 12, 14, 16)
"""Depths of cameras and scanners: whole numbers are taken to have the least of these that holds them."""
SAMPLE = 256
"""Images of a set that are read to find its range."""


class PixelRange(NamedTuple):
    """The values that become 0 and 255; others are brought to the nearer of the two."""

    low: float
    high: float

    def to_bytes(self, values: np.ndarray) -> np.ndarray:
        """Values of any numeric type as uint8, of the same shape; 8-bit values stay, and NaN becomes black."""
        if values.dtype == np.uint8:
            return values
        if values.dtype == np.bool_:
            return values.astype(np.uint8) * 255
        # float32 holds 24 bits, so whole numbers need more; what was float32 keeps its own rounding.
        exact = values.astype(np.float32 if values.dtype in (np.float16, np.float32) else np.float64)
        if np.isnan(exact).any():
            exact = np.nan_to_num(exact, nan=self.low, posinf=self.high, neginf=self.low)
        scaled = (exact - self.low) * (255 / (self.high - self.low))
        return np.rint(scaled.clip(0, 255)).astype(np.uint8)


class _Seen(NamedTuple):
    """What the pixels of some images hold."""

    low: float
    high: float
    whole: bool
    """whether all are of a whole-number type"""
    missing: int
    """how many images hold NaN"""
    images: int


def with_pixel_range(manifest: Manifest, given: tuple[float, float] | None = None) -> Manifest:
    """The manifest with all pixels as 8 bits by one scale, which a note names; one of 8-bit pixels stays as it is.

    The scale is that which is given, or found in a sample of the set: floating point within [0, 1] has that range;
    whole numbers from 0 on have that of the fewest bits, of 8, 10, 12, 14 or 16, that holds them; anything else has
    the least and the greatest value found. It is never that of a single image.

    Raises:
        LikewiseError: the given range is empty or not finite, or no pixel of the sample is a number.
    """
    if given is not None and not (np.isfinite(given).all() and given[0] < given[1]):
        raise LikewiseError(
            f"--pixel-range {given[0]:g} {given[1]:g} was given; it is two numbers, the value that becomes black and a "
            f"greater one that becomes white, for instance --pixel-range 0 4095."
        )
    if manifest.pixel_range is not None:
        return manifest
    rows = _deep_rows(manifest.pixels)
    if not len(rows):
        return manifest
    seen = _look(manifest.pixels, rows)
    if seen is None:
        return manifest
    found = PixelRange(*given) if given is not None else _range_of(seen, manifest.source)
    return replace(
        manifest,
        pixels=_scaled(manifest.pixels, found),
        pixel_range=found,
        notes=(*manifest.notes, _note(found, seen, given is not None)),
    )


def _range_of(seen: _Seen, source: str) -> PixelRange:
    if not np.isfinite([seen.low, seen.high]).all():
        raise LikewiseError(f"{source}: no pixel of the images that were looked at is a number.")
    if seen.low >= 0 and seen.whole:
        bits = next((bits for bits in BITS if seen.high < 2**bits), None)
        if bits is not None:
            return PixelRange(0, 2**bits - 1)
    if not seen.whole and seen.low >= 0 and seen.high <= 1:
        return PixelRange(0, 1)
    return PixelRange(seen.low, seen.high if seen.high > seen.low else seen.low + 1)


def _note(found: PixelRange, seen: _Seen, is_given: bool) -> str:
    how = "as --pixel-range says" if is_given else f"found in {seen.images:,} images"
    note = (
        f"pixels: {found.low:g} becomes black and {found.high:g} white, one scale for all images, {how} (values from "
        f"{seen.low:g} to {seen.high:g})"
    )
    if seen.missing:
        note += f"; {seen.missing:,} images hold NaN, which becomes black"
    return note if is_given else f"{note}. Another scale: --pixel-range LOW HIGH"


def _deep_rows(source: PixelSource) -> np.ndarray:
    """int64: positions of the images that may have more than 8 bits."""
    if isinstance(source, ArrayPixels):
        return np.arange(len(source) if source.array.dtype != np.uint8 else 0)
    if isinstance(source, ConcatPixels):
        starts = np.cumsum([0, *map(len, source.parts)])
        found = [start + _deep_rows(part) for start, part in zip(starts, source.parts, strict=False)]
        return np.concatenate(found).astype(np.int64)
    return np.flatnonzero([bool(mode) and mode not in EIGHT_BIT_MODES for mode in source.headers.modes.tolist()])


def _look(source: PixelSource, rows: np.ndarray) -> _Seen | None:
    """The values of some images, spread evenly; None where all of them have 8 bits after all."""
    if isinstance(source, ArrayPixels):
        return _seen([source.array])._replace(images=len(source))
    sample = rows[np.unique(np.linspace(0, len(rows) - 1, min(SAMPLE, len(rows))).round().astype(np.int64))]
    deep = list[np.ndarray]()
    for row in sample:
        try:
            pixels = source.read(int(row)).pixels
        except UnreadableImage:
            continue
        if pixels.dtype != np.uint8:
            deep.append(_extremes(pixels))
    return _seen(deep) if deep else None


def _extremes(values: np.ndarray) -> np.ndarray:
    """The least and the greatest number, and NaN where there is one: as much of an image as a range needs."""
    if values.dtype.kind != "f":
        return np.array([values.min(), values.max()])
    finite = values[np.isfinite(values)]
    ends = [finite.min(), finite.max()] if len(finite) else []
    return np.array([*ends, *([np.nan] if len(finite) < values.size else [])], values.dtype)


def _seen(images: Iterable[np.ndarray]) -> _Seen:
    low, high, whole, missing, count = np.inf, -np.inf, True, 0, 0
    for values in images:
        ends = _extremes(values)
        finite = ends[np.isfinite(ends)] if ends.dtype.kind == "f" else ends
        if len(finite):
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        whole &= values.dtype.kind in "iub"
        missing += len(finite) < len(ends)
        count += 1
    return _Seen(low, high, whole, missing, count)


def _scaled(source: PixelSource, found: PixelRange) -> PixelSource:
    """The same images as 8 bits: arrays at once, files as they are read."""
    if isinstance(source, ArrayPixels):
        return ArrayPixels(found.to_bytes(source.array))
    if isinstance(source, ConcatPixels):
        return ConcatPixels([_scaled(part, found) for part in source.parts])
    return RangedPixels(source, found)


@dataclass(frozen=True, eq=False)
class RangedPixels:
    """Images whose deep pixels become 8 bits by the range of their set."""

    source: PixelSource
    range: PixelRange

    def __len__(self) -> int:
        return len(self.source)

    @property
    def headers(self) -> Headers:
        """Those of the files."""
        return self.source.headers

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one image."""
        decoded = self.source.read(position, size)
        return decoded._replace(pixels=self.range.to_bytes(decoded.pixels))

    def encoded(self, position: int) -> Encoded:
        """One file as it is stored."""
        return self.source.encoded(position)

    def take(self, index: np.ndarray) -> RangedPixels:
        """Some rows."""
        return RangedPixels(self.source.take(index), self.range)
