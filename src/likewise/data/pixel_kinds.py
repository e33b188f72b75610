"""What kinds of pixels the images of a set hold: 8-bit ones, deeper whole numbers, floating point."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import numpy as np

from likewise.data.decode_file import UnreadableImage
from likewise.data.even_sample import evenly_spaced
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import FRAMES, ArrayPixels, ConcatPixels, PixelSource

Kind = Literal["8 bits", "whole numbers of more than 8 bits", "floating point"]

EIGHT_BIT_MODES = frozenset(
    "1 L P PA LA La RGB RGBA RGBa RGBX CMYK YCbCr LAB HSV video clip".split()
)
"""Modes whose pixels have 8 bits at most; an empty mode says that no header was read."""
SAMPLE = 256
"""Images of each mode that are read to find the range of a set."""


class Seen(NamedTuple):
    """What the pixels of some images hold."""

    low: float
    high: float
    whole: bool
    """whether all are of a whole-number type"""
    missing: int
    """how many images hold NaN"""
    images: int


class Deep(NamedTuple):
    """What the images of more than 8 bits hold."""

    seen: Seen
    """of all that were looked at"""
    by_kind: Mapping[Kind, Seen]
    """of those of each kind"""
    rows: Mapping[Kind, list[int]]
    """positions of those that were looked at, 8-bit ones in files that might have more included"""


def kind_of(values: np.ndarray) -> Kind:
    """The kind of some pixels."""
    if values.dtype in (np.uint8, np.bool_):
        return "8 bits"
    return "floating point" if values.dtype.kind == "f" else "whole numbers of more than 8 bits"


def files_of_each_kind(manifest: Manifest, deep: Deep, limit: int = 3) -> str:
    """Some files of each kind of pixels, as a sentence."""
    rows = dict[Kind, list[int]]()
    modes = manifest.pixels.headers.modes.tolist()
    not_8_bit = {*deep_rows(manifest.pixels).tolist()}
    rows["8 bits"] = [row for row, mode in enumerate(modes) if mode and row not in not_8_bit]
    for kind, members in deep.rows.items():
        rows[kind] = rows.get(kind, []) + members
    parts = []
    for kind, members in rows.items():
        if members:
            names = ", ".join(manifest.ids[row] for row in members[:limit])
            more = ", ..." if len(members) > limit else ""
            parts.append(f"{kind}: {names}{more}")
    return "; ".join(parts)


def deep_rows(source: PixelSource) -> np.ndarray:
    """int64: positions of the images that may have more than 8 bits, by the headers that were read."""
    if isinstance(source, ArrayPixels):
        return np.arange(len(source) if source.array.dtype != np.uint8 else 0)
    if isinstance(source, ConcatPixels):
        found = []
        start = 0
        for part in source.parts:
            found.append(start + deep_rows(part))
            start += len(part)
        return np.concatenate(found).astype(np.int64)
    modes = [mode.removesuffix(FRAMES) for mode in source.headers.modes.tolist()]
    return np.flatnonzero([bool(mode) and mode not in EIGHT_BIT_MODES for mode in modes])


def look(source: PixelSource, rows: np.ndarray) -> Deep | None:
    """The values of some images, spread evenly; None where all of them have 8 bits after all."""
    if isinstance(source, ArrayPixels):
        seen = _seen([source.array])._replace(images=len(source))
        kind = kind_of(source.array)
        return Deep(seen, {kind: seen}, {kind: list(range(len(source)))})
    modes = source.headers.modes[rows]
    ends = dict[Kind, list[np.ndarray]]()
    found = dict[Kind, list[int]]()
    sample = np.concatenate([_spread(rows[modes == mode]) for mode in np.unique(modes)])
    for row in sample.tolist():
        try:
            pixels = source.read(row).pixels
        except UnreadableImage:
            continue
        found.setdefault(kind_of(pixels), []).append(row)
        if pixels.dtype != np.uint8:
            ends.setdefault(kind_of(pixels), []).append(_extremes(pixels))
    if not ends:
        return None
    by_kind: dict[Kind, Seen] = {kind: _seen(values) for kind, values in ends.items()}
    return Deep(_seen(itertools.chain.from_iterable(ends.values())), by_kind, found)


def _spread(rows: np.ndarray) -> np.ndarray:
    """At most `SAMPLE` of some rows, evenly spread."""
    return rows[evenly_spaced(len(rows), SAMPLE)]


def _extremes(values: np.ndarray) -> np.ndarray:
    """The least and the greatest number, and NaN where there is one: as much of an image as a range needs."""
    if values.dtype.kind != "f":
        return np.array([values.min(), values.max()])
    finite = values[np.isfinite(values)]
    ends = [finite.min(), finite.max()] if len(finite) else []
    if len(finite) < values.size:
        ends.append(np.nan)
    return np.array(ends, values.dtype)


def _seen(images: Iterable[np.ndarray]) -> Seen:
    low = np.inf
    high = -np.inf
    whole = True
    missing = 0
    count = 0
    for values in images:
        ends = _extremes(values)
        finite = ends[np.isfinite(ends)] if ends.dtype.kind == "f" else ends
        if len(finite):
            low = min(low, float(finite.min()))
            high = max(high, float(finite.max()))
        whole &= values.dtype.kind in "iub"
        missing += len(finite) < len(ends)
        count += 1
    return Seen(low, high, whole, missing, count)
