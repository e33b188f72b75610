"""Small images inside a page: one at a time, or many on one sheet."""

from __future__ import annotations

import base64
import io
import math
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from likewise.data.decoding import for_display

SHEET_BYTES = 750_000
"""a sheet's size at most; a page should stay light enough to send by mail"""
HEIGHT = 56
"""of a thumbnail on the page, in its pixels"""


class Sheet(NamedTuple):
    """Equal tiles on one image, row by row."""

    uri: str
    tile: int
    """pixels of a tile's side"""
    columns: int
    rows: int


def image_uri(pixels: np.ndarray) -> str:
    """uint8 [H, W, C], C = 1 or 3 -> a ``data:`` URI."""
    return _uri("png", _encoded(_image(pixels), "png"))


class PageImage(NamedTuple):
    """An image on a page."""

    uri: str
    alternative: str
    """what someone who cannot see it should know"""
    width: int
    height: int
    """pixels on the page"""
    css: str = ""
    """class in the style sheet"""


def thumbnail(pixels: np.ndarray, alternative: str, height: int = HEIGHT) -> PageImage:
    """uint8 [H, W, C] -> an image of that height on the page."""
    width = round(height * pixels.shape[1] / pixels.shape[0])
    return PageImage(image_uri(pixels), alternative, width, height)


def spectrogram(bands: np.ndarray, alternative: str) -> PageImage:
    """uint8 [h, W] -> an image as wide as the film strip that it belongs to, and half as high."""
    return PageImage(
        image_uri(bands[..., None]), alternative, 3 * HEIGHT, HEIGHT // 2, "spectrogram"
    )


def stack(strip: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """A film strip uint8 [H, W, C] above its spectrogram uint8 [h, W], brought to half its height."""
    half = len(strip) // 2
    rows = bands[np.arange(half) * len(bands) // half, :, None]
    channels = strip.shape[-1]
    return np.concatenate([strip, rows.repeat(channels, axis=2)])


def sheet(thumbnails: np.ndarray, limit: int = SHEET_BYTES) -> Sheet:
    """uint8 [n, H, W, C] -> one sheet of square tiles.

    Stored exactly as PNG where that is small enough; else as WebP, on smaller tiles if need be.
    """
    side = max(thumbnails.shape[1:3])
    smaller = [("webp", size) for size in (48, 32, 24, 16) if size < side]
    *attempts, last = [("png", side), ("webp", side), *smaller]
    for kind, tile in attempts:
        content, made = _sheet(thumbnails, kind, tile)
        if len(content) <= limit:
            return made
    return _sheet(thumbnails, *last)[1]


def _sheet(thumbnails: np.ndarray, kind: str, tile: int) -> tuple[bytes, Sheet]:
    picture = _tiled(thumbnails, tile)
    content = _encoded(picture, kind)
    return content, Sheet(_uri(kind, content), tile, picture.width // tile, picture.height // tile)


def _tiled(thumbnails: np.ndarray, tile: int) -> Image.Image:
    columns = math.ceil(math.sqrt(len(thumbnails)))
    rows = math.ceil(len(thumbnails) / columns)
    mode = "L" if thumbnails.shape[-1] < 3 else "RGB"
    picture = Image.new(mode, (columns * tile, rows * tile))
    for number, pixels in enumerate(thumbnails):
        image = _image(pixels)
        if image.size != (tile, tile):
            image = image.resize((tile, tile), Image.Resampling.LANCZOS)
        picture.paste(image, (number % columns * tile, number // columns * tile))
    return picture


def _image(thumbnail: np.ndarray) -> Image.Image:
    """The image of uint8 [H, W, C]; of other channels than grey and RGB the first three, or the first."""
    visible = for_display(thumbnail)
    return Image.fromarray(visible[..., 0] if visible.shape[-1] == 1 else visible)


def _encoded(image: Image.Image, kind: str) -> bytes:
    content = io.BytesIO()
    settings: dict[str, Any] = {"optimize": True} if kind == "png" else {"quality": 75}
    image.save(content, kind, **settings)
    return content.getvalue()


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
