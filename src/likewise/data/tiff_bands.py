"""TIFF files of several bands or pages, which Pillow does not read as one image."""

from __future__ import annotations

import io
from typing import IO, Any, NamedTuple

import numpy as np
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from likewise.data.decoding import ORIENTATION, turned
from likewise.data.pixel_arrays import require_numbers

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins: two byte orders, classic or with 64-bit offsets."""
MOST_VALUES = 2**30
"""Values of all bands and pages that are read; a damaged header may promise any number."""
INSTALL = 'pip install "likewise[tiff]"'

# Tags of TIFF 6.0, https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
_WIDTH = 256
_HEIGHT = 257
_BITS = 258
_PHOTOMETRIC = 262
_SAMPLES = 277
_PLANAR = 284
_EXTRA_SAMPLES = 338
_FORMAT = 339
_BLACK_IS_ZERO, _RGB, _SEPARATED = 1, 2, 5
"""Values of PhotometricInterpretation."""
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
"""Values of SampleFormat."""
_PILLOWS_GREY = {
    *((_UNSIGNED, bits) for bits in (1, 2, 4, 8, 12, 16)),
    *((_SIGNED, bits) for bits in (16, 32)),
    (_FLOAT, 32),
}
"""SampleFormat and bits of grey that Pillow reads to the last bit; of RGB it reads unsigned 8, and interleaved 16."""
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
    depth: str = ""
    """bits and kind of a value, for instance 32F, where it is not an unsigned byte"""
    orientation: int = 1
    """how the pixels have to be turned, as in EXIF; width and height are those once upright"""

    @property
    def channels(self) -> int:
        """Channels of the image."""
        return self.pages * self.bands

    @property
    def bytes_per_pixel(self) -> int:
        """Of all channels together."""
        bits = int(self.depth.rstrip("F") or 8)
        return self.channels * -(-bits // 8)


class _Page(NamedTuple):
    width: int
    height: int
    samples: int
    alpha: int
    """how many of the samples the file marks as alpha; they come last"""
    photometric: int
    bits: int
    format: int
    orientation: int
    is_planar: bool
    """whether each band is stored by itself"""

    @property
    def is_pillows(self) -> bool:
        """Whether Pillow reads one such page as it is."""
        if self.photometric == _SEPARATED:
            return True
        bands = self.samples - self.alpha
        if bands == 1:
            return (self.format, self.bits) in _PILLOWS_GREY
        return (
            bands == 3
            and self.photometric == _RGB
            and self.format == _UNSIGNED
            and (self.bits == 8 or (self.bits == 16 and not self.is_planar))
        )

    @property
    def depth(self) -> str:
        """See `BandLayout.depth`."""
        if (self.format, self.bits) == (_UNSIGNED, 8):
            return ""
        return f"{self.bits}{'F' if self.format == _FLOAT else ''}"


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
    is_plain = first.photometric in (_BLACK_IS_ZERO, _RGB)
    are_channels = is_plain and all(page == first for page in pages)
    count = len(pages) if are_channels else 1
    if count == 1 and (first.is_pillows or not is_plain):
        return None
    sides = (first.width, first.height)
    width, height = sides[::-1] if first.orientation >= 5 else sides
    bands = first.samples - first.alpha
    return BandLayout(width, height, count, bands, first.depth, first.orientation)


def read_bands(content: bytes, layout: BandLayout) -> np.ndarray:
    """The channels of a TIFF, page after page, of its own type: [H, W, C], or [H, W] of one channel.

    Raises:
        ImportError: tifffile is not installed.
        LikewiseError: its values are no numbers.
        ValueError: it says that it has more of them than any image.
    """
    tifffile = _tifffile()
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        pages = [file.pages[number] for number in range(layout.pages)]
        count = sum(page.size for page in pages)
        if count > MOST_VALUES:
            raise ValueError(
                f"a TIFF of {count:,} values, more than {MOST_VALUES:,}: damaged, or cut it into parts"
            )
        planes = [_planes(page)[..., : layout.bands] for page in pages]
    pixels = require_numbers(np.concatenate(planes, axis=2), "the TIFF")
    upright = turned(pixels, layout.orientation)
    return upright[..., 0] if layout.channels == 1 else upright


def require_tifffile(layout: BandLayout) -> None:
    """Refuse a file of several bands where they cannot be read.

    Raises:
        ImportError: tifffile is not installed.
    """
    try:
        _tifffile()
    except ImportError as error:
        depth = f" of {layout.depth} bits" if layout.depth else ""
        raise ImportError(
            f"a TIFF of {layout.channels} channels{depth} needs tifffile: {INSTALL}"
        ) from error


def _pages(stream: IO[bytes]) -> list[_Page]:
    start = stream.read(8)
    if start[:4] not in SIGNATURES:
        return []
    if start[2:4] in (b"+\0", b"\0+"):
        start += stream.read(8)
    directory = ImageFileDirectory_v2(start)
    following = directory.next
    pages = list[_Page]()
    seen = set[int]()
    while following and following not in seen:
        seen.add(following)
        stream.seek(following)
        directory.load(stream)
        pages.append(_page(directory))
        following = directory.next
    return pages


def _page(tags: ImageFileDirectory_v2) -> _Page:
    return _Page(
        width=int(tags[_WIDTH]),
        height=int(tags[_HEIGHT]),
        samples=int(tags.get(_SAMPLES, 1)),
        alpha=sum(kind in _ALPHA for kind in _several(tags.get(_EXTRA_SAMPLES, ()))),
        photometric=int(tags.get(_PHOTOMETRIC, _BLACK_IS_ZERO)),
        bits=int(max(_several(tags.get(_BITS, 1)))),
        format=int(max(_several(tags.get(_FORMAT, _UNSIGNED)))),
        orientation=int(tags.get(ORIENTATION, 1)),
        is_planar=int(tags.get(_PLANAR, 1)) == 2,
    )


def _several(value: Any) -> tuple[Any, ...]:
    """A tag's values: Pillow gives one alone as it is."""
    return value if isinstance(value, tuple) else (value,)


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
