"""Decodes the file of an image, or of a video its middle frame."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from likewise.counts import amount
from likewise.data.decoding import deep_colour, open_image, plain_jpeg, upright_pixels
from likewise.data.dicom import is_dicom, read_dicom
from likewise.data.large_images import (
    LARGE,
    block_means,
    one_at_a_time,
    pixels_in_strips,
    reduction,
    require_readable,
)
from likewise.data.tiff_bands import band_layout, read_bands
from likewise.data.video.video_decoding import is_video, middle_frame


class UnreadableImage(Exception):
    """One image cannot be decoded; the message names it and says why."""

    def reason(self, name: str) -> str:
        """Why, without the path that the message may begin with, where that is one of an image of this name."""
        called, _, rest = str(self).partition(": ")
        return rest if rest and called.endswith(name) else str(self)


class Decoded(NamedTuple):
    """One decoded image, and the shape that it had in its file."""

    pixels: np.ndarray
    """[H, W] of one channel, else [H, W, C]; upright; perhaps smaller than the file's where a draft was enough. uint8;
    of files with more bits their own type, until `likewise.data.pixel_range` has found the range of the set"""
    aspect: float
    """width / height in the file, once upright"""


def decode(file: Path | bytes, name: str, size: int | None = None) -> Decoded:
    """Decode one file or its bytes, of a video the middle frame; ``name`` is what an error calls it.

    Raises:
        UnreadableImage: it is gone, cut short, no image, or too large to be one.
    """
    try:
        if is_video(file):
            return decoded(Image.fromarray(middle_frame(file, "")), size)
        content = file if isinstance(file, bytes) else file.read_bytes()
        if is_dicom(content[:132]):
            pixels = read_dicom(content)
            return Decoded(pixels, pixels.shape[1] / pixels.shape[0])
        if layout := band_layout(io.BytesIO(content)):
            require_readable(layout.width, layout.height, layout.bytes_per_pixel)
            bands = read_bands(content, layout)
            factor = reduction(layout.width, layout.height, None if size is None else 2 * size)
            return Decoded(block_means(bands, factor), layout.width / layout.height)
        with open_image(io.BytesIO(content)) as image:
            return decoded(image, size, content)
    except MemoryError:
        raise
    except (
        Exception
    ) as error:  # Pillow's decoders raise OSError, ValueError, SyntaxError, struct.error, ...
        raise UnreadableImage(f"{name}: {reason_of(error)}") from error


def decoded(image: Image.Image, size: int | None = None, content: bytes = b"") -> Decoded:
    """Decode an image that Pillow has opened.

    Args:
        image: the image.
        size: a JPEG may be drafted down as long as both sides stay at least twice this.
        content: the bytes of its file, where they are at hand; JPEGs are decoded faster with them.
    """
    width, height = image.size
    factor = reduction(width, height, None)
    if size is not None or factor > 1:
        least = 2 * size if size is not None else min(width, height) // factor
        image.draft(None, (least, least))  # type: ignore[arg-type]  # Pillow's own thumbnail passes None
    drafted = image.size
    factor = reduction(*drafted, None if size is None else 2 * size)
    with one_at_a_time(drafted[0] * drafted[1]):
        pixels = _pixels(image, content, factor, is_whole=drafted == (width, height))
    # An EXIF quarter turn swaps the sides; of a square nothing can be seen, and nothing changes.
    # The last square may be cut off.
    expected = [(side // factor, -(-side // factor)) for side in drafted]
    found = pixels.shape[1::-1]  # width and height
    turned = found[0] not in expected[0] or found[1] not in expected[1]
    return Decoded(pixels, height / width if turned else width / height)


def _pixels(image: Image.Image, content: bytes, factor: int, is_whole: bool) -> np.ndarray:
    """The upright pixels, of which squares of a side of ``factor`` become one."""
    if factor == 1 and is_whole:
        plain = plain_jpeg(content, image)
        if plain is not None:
            return plain
    deep = deep_colour(content, image)
    if deep is not None:
        return block_means(deep, factor)
    if image.width * image.height > LARGE:
        return pixels_in_strips(image, factor)
    return np.array(upright_pixels(image))


def reason_of(error: Exception) -> str:
    """Why an image cannot be read, in words."""
    if isinstance(error, FileNotFoundError):
        return "the file is gone"
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"too large: more than {amount(most, 'pixel')} are not read. Cut it into tiles"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image that Pillow reads"
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "a link that leads back to itself"
    # In one line: some decoders break theirs.
    return " ".join(str(error).split()) or type(error).__name__
