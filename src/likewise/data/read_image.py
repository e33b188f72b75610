"""One image of a source as planes of the channels that are wanted, at its own size or squeezed into a square."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from likewise.data.decode_file import UnreadableImage
from likewise.data.pixel_source import PixelSource
from likewise.data.resizing import resized


def read_square(
    source: PixelSource, position: int, size: int, channels: int
) -> tuple[np.ndarray, float]:
    """Decode one image into uint8 [C, size, size], and its width / height.

    Raises:
        UnreadableImage: it cannot be decoded, or has channels that are not converted.
    """
    planes, aspect = read_planes(source, position, size, channels)
    square = resized(planes, size, size)
    return square.expand(channels, -1, -1).numpy(), aspect


def read_planes(
    source: PixelSource, position: int, size: int | None, channels: int
) -> tuple[Tensor, float]:
    """Decode one image into uint8 [C, H, W], C being 1 of grey images, and its width / height.

    Args:
        source: where it is.
        position: which one.
        size: a JPEG may be decoded smaller, as long as both sides are at least twice this; None: at its full size.
        channels: that are wanted; colours become grey for 1.

    Raises:
        UnreadableImage: it cannot be decoded, or has channels that are not converted.
    """
    pixels, aspect = source.read(position, size)
    if pixels.dtype != np.uint8:
        raise UnreadableImage(
            f"image {position} has pixels of type {pixels.dtype}, other than its set by its headers"
        )
    found = 1 if pixels.ndim == 2 else pixels.shape[2]
    if not convertible(found, channels):
        raise UnreadableImage(f"image {position} has {found} channels, the other images {channels}")
    if channels == 1 and found == 3:
        pixels = np.array(Image.fromarray(pixels).convert("L"))
    planes = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(planes), aspect


def convertible(found: int, wanted: int) -> bool:
    """Whether images of so many channels can be read as images of so many others."""
    return found == wanted or {found, wanted} == {1, 3}
