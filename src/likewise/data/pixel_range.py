"""One scale for the pixels of a set that are deeper than 8 bits: which values become black and which white."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape

from likewise.counts import amount
from likewise.data.decode_file import Decoded, UnreadableImage
from likewise.data.manifest import Manifest
from likewise.data.pixel_kinds import Deep, Seen, deep_rows, files_of_each_kind, kind_of, look
from likewise.data.pixel_source import ArrayPixels, ConcatPixels, Encoded, Headers, PixelSource
from likewise.errors import LikewiseError

AT_ONCE = 2**22
"""Values that are scaled at a time, so that the copies in floating point stay small."""

BITS = (8, 10, 12, 14, 16)
"""Depths of cameras and scanners: whole numbers are taken to have the least of these that holds them."""


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
        if values.size <= AT_ONCE or values.ndim < 2:
            return self._scaled(values)
        scaled = np.empty(values.shape, np.uint8)
        rows = max(1, AT_ONCE * len(values) // values.size)
        for first in range(0, len(values), rows):
            scaled[first : first + rows] = self._scaled(values[first : first + rows])
        return scaled

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        # float32 holds 24 bits, so whole numbers need more; what was float32 keeps its own rounding.
        kind = np.float32 if values.dtype in (np.float16, np.float32) else np.float64
        exact = values.astype(kind)
        if np.isnan(exact).any():
            exact = np.nan_to_num(
                exact,
                nan=self.low,
                posinf=self.high,
                neginf=self.low,
            )
        scaled = (exact - self.low) * (255 / (self.high - self.low))
        return np.rint(scaled.clip(0, 255)).astype(np.uint8)


PIXELS = "pixels: "
"""What a note about the range begins with."""

UNIT = PixelRange(0, 1)
BYTE = PixelRange(0, 255)
SIXTEEN_BITS = PixelRange(0, 65535)
"""Ranges that need no look at other images: of floating point, of 8-bit values in a deeper type, of all 16 bits."""


def with_pixel_range(
    manifest: Manifest, given: tuple[float, float] | None = None, allow_mixed: bool = False
) -> Manifest:
    """The manifest with all pixels as 8 bits by one scale, which a note names; one of 8-bit pixels stays as it is.

    The scale is that which is given, or found in a sample of the set: floating point within [0, 1] has that range;
    whole numbers from 0 on have that of the fewest bits, of 8, 10, 12, 14 or 16, that holds them; anything else has
    the least and the greatest value found. It is never that of a single image. Where the first two rules were used, an
    image outside the sample that does not keep to them cannot be read.

    Args:
        manifest: the examples.
        given: values that become black and white.
        allow_mixed: take several kinds of pixels in one set without a word, for what looks for them.

    Raises:
        LikewiseError: the given range is empty or not finite, or another than the manifest was opened with, or cannot
            be of such pixels; no pixel of the sample is a number; or kinds of pixels are mixed that have no one scale.
    """
    if given is not None and not (np.isfinite(given).all() and given[0] < given[1]):
        raise LikewiseError(
            f"--pixel-range {given[0]:g} {given[1]:g} was given; it is two numbers, the value that becomes black and a "
            f"greater one that becomes white, for instance --pixel-range 0 4095."
        )
    if manifest.pixel_range is not None:
        _require_same(manifest, given)
        return manifest
    rows = deep_rows(manifest.pixels)
    deep = look(manifest.pixels, rows) if len(rows) else None
    if deep is None:
        return manifest if given is None else _with_unread(manifest, PixelRange(*given))
    if given is not None:
        _refuse_other_scale(deep, given, manifest.source)
        found = PixelRange(*given)
        is_strict = False
    else:
        found = _range_of(deep.seen, manifest.source)
        is_strict = _is_fixed(found, deep.seen)
        if not allow_mixed:
            _refuse_mixed(manifest, deep, found)
    return replace(
        manifest,
        pixels=_scaled(manifest.pixels, found, is_strict),
        pixel_range=found,
        pixel_values=(deep.seen.low, deep.seen.high),
        notes=(*manifest.notes, _note(found, deep.seen, given is not None)),
    )


def _with_unread(manifest: Manifest, given: PixelRange) -> Manifest:
    """The given range for the images whose headers were not read, which may be deep; the others have 8 bits."""
    if isinstance(manifest.pixels, ArrayPixels) or (manifest.pixels.headers.modes != "").all():
        return manifest
    note = (
        f"{PIXELS}{given.low:g} becomes black and {given.high:g} white, as --pixel-range says, in images of more than "
        f"8 bits; those that were looked at have 8 bits"
    )
    pixels = _scaled(manifest.pixels, given, strict=False)
    return replace(
        manifest,
        pixels=pixels,
        pixel_range=given,
        notes=(*manifest.notes, note),
    )


def _require_same(manifest: Manifest, given: tuple[float, float] | None) -> None:
    opened = manifest.pixel_range
    assert opened is not None
    if given is not None and tuple(given) != tuple(opened):
        raise LikewiseError(
            f"{manifest.source} was opened with the pixel range {opened[0]:g} to {opened[1]:g}, but {given[0]:g} to "
            f"{given[1]:g} is needed. Give the data themselves, or open_manifest(data, pixel_range=({given[0]:g}, "
            f"{given[1]:g}))."
        )


def _refuse_other_scale(deep: Deep, given: tuple[float, float], source: str) -> None:
    """Refuse floating point in [0, 1] under a range of whole numbers, or the other way round: all black, or white."""
    low, high = given
    for kind, seen in deep.by_kind.items():
        is_unit = not seen.whole and 0 <= seen.low and seen.high <= 1
        all_black = is_unit and low >= 0 and high >= BYTE.high
        all_white = seen.whole and seen.high > 1 and (low, high) == UNIT
        if all_black or all_white:
            raise LikewiseError(
                f"{source}: {kind} from {seen.low:g} to {seen.high:g} was found, which is of another scale than the "
                f"range {low:g} to {high:g} (--pixel-range, or that of the encoder). Bring the images to that scale."
            )


def _refuse_mixed(manifest: Manifest, deep: Deep, found: PixelRange) -> None:
    """Refuse kinds of pixels in one set, except where each is scaled by the full range of its type."""
    with_header = sum(map(bool, manifest.pixels.headers.modes.tolist()))
    is_8_bit_there = "8 bits" in deep.rows or len(deep_rows(manifest.pixels)) < with_header
    if len(deep.by_kind) == 1 and (not is_8_bit_there or found in (UNIT, BYTE, SIXTEEN_BITS)):
        return
    raise LikewiseError(
        f"{manifest.source} mixes kinds of pixels, which have no one scale. {files_of_each_kind(manifest, deep)}. Save "
        f"all of them as one kind, give each kind a folder of its own, or say which values of the deeper ones are "
        f"black and white: --pixel-range LOW HIGH, in Python pixel_range=(low, high). "
        f"likewise doctor --all lists the files."
    )


def _is_fixed(found: PixelRange, seen: Seen) -> bool:
    """Whether a range follows from the type and the number of bits, and not from the least and greatest value."""
    if seen.whole:
        return found in [(0, 2**bits - 1) for bits in BITS]
    return found == UNIT


def _range_of(seen: Seen, source: str) -> PixelRange:
    if not np.isfinite([seen.low, seen.high]).all():
        raise LikewiseError(f"{source}: no pixel of the images that were looked at is a number.")
    if seen.low >= 0 and seen.whole:
        for bits in BITS:
            if seen.high < 2**bits:
                return PixelRange(0, 2**bits - 1)
    if not seen.whole and seen.low >= 0 and seen.high <= 1:
        return UNIT
    is_constant = seen.high == seen.low
    return PixelRange(seen.low, seen.low + 1 if is_constant else seen.high)


def _note(found: PixelRange, seen: Seen, is_given: bool) -> str:
    how = "as --pixel-range says" if is_given else f"found in {seen.images:,} of them"
    note = (
        f"{PIXELS}{found.low:g} becomes black and {found.high:g} white, one scale for all images of more than 8 bits, "
        f"{how} (values from {seen.low:g} to {seen.high:g})"
    )
    if seen.missing:
        note += f"; NaN in {amount(seen.missing, 'image')}, which becomes black"
    return note if is_given else f"{note}. Another scale: --pixel-range LOW HIGH"


def say_pixels(manifest: Manifest, console: Console | None) -> None:
    """Say how the pixels of more than 8 bits are taken, where there are some, and how many images hold NaN."""
    for note in manifest.notes:
        if console is not None and note.startswith(PIXELS):
            console.print(f"note: {escape(note)}", highlight=False)


def _scaled(source: PixelSource, found: PixelRange, strict: bool) -> PixelSource:
    """The same images as 8 bits: arrays at once, files as they are read."""
    if isinstance(source, ArrayPixels):
        return ArrayPixels(found.to_bytes(source.array))
    if isinstance(source, ConcatPixels):
        return ConcatPixels([_scaled(part, found, strict) for part in source.parts])
    return RangedPixels(source, found, strict)


@dataclass(frozen=True, eq=False)
class RangedPixels:
    """Images whose deep pixels become 8 bits by the range of their set."""

    source: PixelSource
    range: PixelRange
    strict: bool = False
    """whether values outside the range are an error"""

    def __len__(self) -> int:
        return len(self.source)

    @property
    def headers(self) -> Headers:
        """Those of the files."""
        return self.source.headers

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one image."""
        decoded = self.source.read(position, size)
        self.require_numbers(decoded.pixels)
        self.require_inside(decoded.pixels, position)
        return decoded._replace(pixels=self.range.to_bytes(decoded.pixels))

    def require_numbers(self, values: np.ndarray) -> None:
        """Refuse an image of NaN and infinity alone, which would be seen as black.

        Raises:
            UnreadableImage: it is one.
        """
        if values.dtype.kind == "f" and not np.isfinite(values).any():
            raise UnreadableImage("none of its pixels is a number")

    def require_inside(self, values: np.ndarray, position: int) -> None:
        """Refuse values outside a range that is strict.

        Raises:
            UnreadableImage: there are some.
        """
        if not self.strict or kind_of(values) == "8 bits" or np.isnan(values).all():
            return
        low = np.nanmin(values)
        high = np.nanmax(values)
        if low < self.range.low or high > self.range.high:
            raise UnreadableImage(
                f"image {position} has values from {low:g} to {high:g}, outside {self.range.low:g} to "
                f"{self.range.high:g} as found in the set; give --pixel-range LOW HIGH"
            )

    def encoded(self, position: int) -> Encoded:
        """One file as it is stored."""
        return self.source.encoded(position)

    def take(self, index: np.ndarray) -> RangedPixels:
        """Some rows."""
        return RangedPixels(self.source.take(index), self.range, self.strict)
