"""TIFF files of several bands or pages, which Pillow does not read as one image."""

from __future__ import annotations

import io
from typing import IO, Any, NamedTuple

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from likewise.data.pixel_arrays import require_numbers

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins: two byte orders, classic or with 64-bit offsets."""
INSTALL = 'pip install "likewise[tiff]"'

# Tags of TIFF 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
_WIDTH, _HEIGHT, _PHOTOMETRIC, _SAMPLES, _EXTRA_SAMPLES = 256, 257, 262, 277, 338
_BLACK_IS_ZERO, _RGB, _SEPARATED = 1, 2, 5
_ALPHA = (1, 2)
"""Values of ExtraSamples that mark a band as alpha; 0 says nothing about it."""


class BandLayout(NamedTuple):
    """Where the channels of a TIFF are."""

    width: int
    height: int
    pages: int
    """pages of one size that are read, each with the same bands"""
    bands: int
    """bands of a page that are channels: all but those marked as alpha"""

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.pages * self.bands


class _Page(NamedTuple):
    width: int
    height: int
    samples: int
    alpha: int
    """how many of the samples the file marks as alpha; they come last"""
    photometric: int


def band_layout(stream: IO[bytes]) -> BandLayout | None:
    """How the channels of a TIFF lie; None for what Pillow reads: no TIFF, or one page of grey, RGB, CMYK or a palette.

    Pages count as channels where all of them have one size and kind; of others the first page is the image.
    """
    try:
        pages = _pages(stream)
    except Exception:  # a damaged directory; Pillow then says what is wrong with it
        return None
    if not pages:
        return None
    first = pages[0]
    bands = first.samples - first.alpha
    plain = first.photometric in (_BLACK_IS_ZERO, _RGB)
    count = len(pages) if plain and all(page == first for page in pages) else 1
    is_pillows = bands == 1 or (bands == 3 and first.photometric == _RGB) or first.photometric == _SEPARATED
    if count == 1 and (is_pillows or not plain):
        return None
    return BandLayout(first.width, first.height, count, bands)


def read_bands(content: bytes, layout: BandLayout) -> np.ndarray:
    """The channels of a TIFF, page after page, of its own type: [H, W, C], or [H, W] of one channel.

    Raises:
        ImportError: tifffile is not installed.
        LikewiseError: its values are no numbers.
    """
    tifffile = _tifffile()
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        planes = [_planes(file.pages[number])[..., : layout.bands] for number in range(layout.pages)]
    pixels = require_numbers(np.concatenate(planes, axis=2), "the TIFF")
    return pixels[..., 0] if layout.channels == 1 else pixels


def require_tifffile(layout: BandLayout) -> None:
    """Refuse a file of several bands where they cannot be read.

    Raises:
        ImportError: tifffile is not installed.
    """
    try:
        _tifffile()
    except ImportError as error:
        raise ImportError(f"a TIFF of {layout.channels} channels needs tifffile: {INSTALL}") from error


def _pages(stream: IO[bytes]) -> list[_Page]:
    start = stream.read(8)
    if start[:4] not in SIGNATURES:
        return []
    if start[2:4] in (b"+\0", b"\0+"):
        start += stream.read(8)
    directory = ImageFileDirectory_v2(start)
    following = directory.next
    pages, seen = list[_Page](), set[int]()
    while following and following not in seen:
        seen.add(following)
        stream.seek(following)
        directory.load(stream)
        pages.append(_page(directory))
        following = directory.next
    return pages


def _page(tags: ImageFileDirectory_v2) -> _Page:
    extra = tags.get(_EXTRA_SAMPLES, ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    return _Page(
        width=int(tags[_WIDTH]),
        height=int(tags[_HEIGHT]),
        samples=int(tags.get(_SAMPLES, 1)),
        alpha=sum(kind in _ALPHA for kind in extra),
        photometric=int(tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO)),
    )


def _planes(page: Any) -> np.ndarray:
    """[H, W, samples] of one page."""
    values = page.asarray()
    if values.ndim == 2:
        return values[..., None]
    is_planar = int(page.planarconfig) == 2
    return np.moveaxis(values, 0, 2) if is_planar else values


def _tifffile() -> Any:
    import tifffile

    return tifffile
