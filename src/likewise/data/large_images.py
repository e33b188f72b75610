"""Images of tens of millions of pixels, read in strips, so that few copies of one are ever in memory."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from likewise.data.decoding import is_deep, orientation, plain_mode, turned

LARGE = 2**24
"""Pixels above which an image is decoded alone, and in strips; where it is to become small, it is reduced at once."""

WHOLE = 2**26
"""Pixels above which an image is never given at its own size: means of squares of its pixels are."""

MOST_BYTES = 2**30
"""Bytes of decoded values above which a file is refused that cannot be read in strips."""

STRIP = 2**22
"""Pixels of a strip."""

_alone = threading.Lock()


def _forget_lock() -> None:
    global _alone
    _alone = threading.Lock()


if hasattr(os, "register_at_fork"):
    # Another thread of the parent may have held it.
    os.register_at_fork(after_in_child=_forget_lock)


class TooLarge(Exception):
    """An image has too many pixels to be read; the message says how many are."""


@contextmanager
def one_at_a_time(pixels: int) -> Iterator[None]:
    """Wait until no other thread decodes a large image; others do not wait."""
    if pixels <= LARGE:
        yield
        return
    with _alone:
        yield


def reduction(width: int, height: int, least: int | None) -> int:
    """How many pixels along a side become one.

    Args:
        width: of the image.
        height: of the image.
        least: pixels of the shorter side that are needed; None: as many as there are.
    """
    if width * height <= LARGE:
        return 1
    enough = min(width, height) // least if least is not None else 1
    readable = math.ceil(math.sqrt(width * height / WHOLE))
    return max(enough, readable, 1)


def require_readable(width: int, height: int, values: int) -> None:
    """Refuse what is read at once and takes too much memory.

    Args:
        width: of the image.
        height: of the image.
        values: bytes of one pixel.

    Raises:
        TooLarge: it does.
    """
    if width * height * values > MOST_BYTES:
        raise TooLarge(
            f"{width:,} x {height:,} pixels of {values} bytes: more than {MOST_BYTES / 2**30:g} GiB at once. Cut it "
            f"into tiles"
        )


def pixels_in_strips(image: Image.Image, factor: int) -> np.ndarray:
    """An image as upright grey or RGB, each ``factor`` x ``factor`` pixels as their mean.

    Args:
        image: as Pillow opened it.
        factor: 1 or more.

    Returns:
        uint8 [H, W] or [H, W, 3]; of grey with more bits [H, W] of its own type.
    """
    image.load()
    # A TIFF is upright once it is loaded, and says so then.
    turn = orientation(image)
    strips = list[np.ndarray]()
    rows = factor * max(1, STRIP // (image.width * factor))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        plain = plain_mode(strip)
        if is_deep(plain):
            strips.append(block_means(np.array(plain), factor))
        else:
            strips.append(np.array(plain.reduce(factor) if factor > 1 else plain))
    return turned(np.concatenate(strips), turn)


def block_means(values: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of ``factor`` x ``factor`` pixels, of the same type; what is left at the edges is left out.

    Args:
        values: [H, W] or [H, W, C], of any numeric type.
        factor: 1 or more; no more than either side.
    """
    if factor == 1:
        return values
    height = values.shape[0] // factor
    width = values.shape[1] // factor
    means = np.empty((height, width, *values.shape[2:]), values.dtype)
    for row in range(height):
        block = values[row * factor : (row + 1) * factor, : width * factor]
        squares = block.reshape(factor, width, factor, *values.shape[2:])
        mean = squares.mean(axis=(0, 2), dtype=np.float64)
        means[row] = np.rint(mean) if values.dtype.kind in "iu" else mean
    return means
