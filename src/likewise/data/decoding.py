"""From a file's pixels to upright 8-bit gray or RGB, whatever mode the file was written in."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import IO

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin

from likewise.data.heif import enable_heif, is_heif

# Pillow warns of metadata that it cannot read, without the file's name. The pixels are right, or an error is raised.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

ORIENTATION = 0x0112
"""EXIF tag: 1 is upright, 5 to 8 are quarter turns"""

TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
"""What makes an image upright, by its EXIF orientation (EXIF 2.32, Sec. 4.6.4)."""

PNG_EXIF = ("exif", "Raw profile type exif")
"""Where Pillow has the EXIF of a PNG, before it is decoded."""

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow modes that hold no colour."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601), as in Pillow's mode L."""

CHANNELS_MODE = "{} channels"
"""The mode of images whose channels are neither grey nor RGB."""


def open_image(stream: IO[bytes]) -> Image.Image:
    """Open an image by Pillow, undecoded, HEIC included where pillow-heif is installed.

    Raises:
        ImportError: it is HEIC, and pillow-heif is not installed.
        PIL.UnidentifiedImageError: it is no image that Pillow reads.
    """
    start = stream.read(12)
    stream.seek(0)
    if is_heif(start):
        enable_heif()
    return Image.open(stream)


def mode_of_channels(channels: int) -> str:
    """The mode of an image of 8-bit channels: Pillow's for grey and RGB, else for instance ``13 channels``."""
    return {1: "L", 3: "RGB"}.get(channels, CHANNELS_MODE.format(channels))


def channels_of_mode(mode: str) -> int:
    """How many channels an image of a mode has once decoded: 1 of grey, 3 of colours, else the mode's own number.

    What follows a semicolon, as in ``RGB;32F``, is the depth of the values.
    """
    kind = mode.partition(";")[0]
    if mode in GRAY_MODES or kind in GRAY_MODES:
        return 1
    count, _, rest = kind.partition(" ")
    return int(count) if rest == "channels" else 3


def for_display(pixels: np.ndarray) -> np.ndarray:
    """Pixels for display: the first three channels, or the first as grey where there are only two.

    Args:
        pixels: uint8 [..., C].

    Returns:
        uint8 [..., 3], or [..., 1].
    """
    channels = pixels.shape[-1]
    return pixels[..., :3] if channels >= 3 else pixels[..., :1]


def orientation(image: Image.Image) -> int:
    """How an image that is not decoded yet has to be turned, as EXIF has it: 1 to 8.

    EXIF behind the pixels of a PNG is not seen: Pillow would decode the whole file to look for it.
    """
    if image.format == "PNG" and not any(name in image.info for name in PNG_EXIF):
        return 1
    return image.getexif().get(ORIENTATION, 1)


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [H, W] or [H, W, C] as they stand in a file, made upright."""
    return np.ascontiguousarray(TURNS.get(orientation, np.asarray)(pixels))


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height in the file, before a turn: Pillow gives those of a TIFF once upright."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        return tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH]
    return image.size


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image that is not decoded yet, once upright."""
    width, height = stored_size(image)
    return (height, width) if orientation(image) >= 5 else (width, height)


def plain_jpeg(content: bytes, image: Image.Image) -> np.ndarray | None:
    """The pixels of an upright gray or colour JPEG at its full size, by torchvision: uint8 [H, W] or [H, W, 3].

    The pixels are Pillow's to the last bit, both being libjpeg-turbo's, but they come without the copies through
    Pillow's four bytes a pixel.

    Args:
        content: the file; empty where only the opened image is at hand.
        image: the same, opened by Pillow and not yet decoded.

    Returns:
        None for anything else, damaged files included: Pillow then says what is wrong with them.
    """
    if not content or image.format not in {"JPEG", "MPO"} or image.mode not in {"L", "RGB"}:
        return None
    if image.getexif().get(ORIENTATION, 1) != 1:
        return None
    import torch

    # One second, which a look at headers need not wait for.
    from torchvision.io import ImageReadMode, decode_jpeg

    mode = ImageReadMode.GRAY if image.mode == "L" else ImageReadMode.RGB
    try:
        # A bytearray, since torch warns of memory that must not be written to.
        decoded = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode)
    except RuntimeError:
        return None
    assert isinstance(decoded, torch.Tensor)  # a list only where a list was given
    if decoded.shape[:0:-1] != image.size:
        return None
    pixels = decoded[0] if image.mode == "L" else decoded.permute(1, 2, 0)
    return pixels.numpy()


def upright_pixels(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF says, as `plain_mode` has it.

    Raises:
        OSError: the pixels cannot be decoded, for instance since the file was cut short.
    """
    # A copy of a large picture would double the memory.
    ImageOps.exif_transpose(image, in_place=True)
    return plain_mode(image)


def plain_mode(image: Image.Image) -> Image.Image:
    """The image in mode L (gray) or RGB.

    Transparent pixels are laid on white. Gray of more than 8 bits stays in its own mode: what is black and white is a
    property of its set.
    """
    if is_deep(image):
        return image
    mode = "L" if image.mode in GRAY_MODES else "RGB"
    if image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info:
        image = _on_white(image)
    return image if image.mode == mode else image.convert(mode)


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey of more than 8 bits."""
    return image.mode in {"I", "F"} or image.mode.startswith("I;16")


def deep_colour_mode(image: Image.Image) -> str | None:
    """The mode of a file with colours, or with gray and alpha, of 16 bits, of which Pillow would take the upper 8.

    Returns:
        ``RGB;16``, ``RGBA;16`` or ``LA;16``; None of anything else.
    """
    if image.mode not in {"RGB", "RGBA"} or ";16" not in (
        layout := str(getattr(image, "tile", ""))
    ):
        return None
    return "LA;16" if "'LA;16" in layout else f"{image.mode};16"


def deep_colour(content: bytes, image: Image.Image) -> np.ndarray | None:
    """uint16 [H, W, 3], or [H, W] of gray, upright, of a PNG or TIFF with `deep_colour_mode`; None of anything else.

    Transparent pixels of a PNG are laid on white; a band that a TIFF marks as alpha is left out.
    """
    if not content or deep_colour_mode(image) is None:
        return None
    if image.format == "PNG":
        values = _deep_png(content)
    elif image.format == "TIFF":
        values = _deep_tiff(content, stored_size(image))
    else:
        return None
    return None if values is None else turned(values, orientation(image))


def _deep_png(content: bytes) -> np.ndarray:
    import torch
    from torchvision.io import ImageReadMode, decode_png

    buffer = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    values = decode_png(buffer, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
    if values.shape[2] in (2, 4):
        white = np.iinfo(values.dtype).max
        opacity = values[..., -1:] / np.float32(white)
        values = np.rint(values[..., :-1] * opacity + white * (1 - opacity)).astype(values.dtype)
    return values[..., 0] if values.shape[2] == 1 else values


def _deep_tiff(content: bytes, size: tuple[int, int]) -> np.ndarray | None:
    """The colours of the first page; None where it has another shape than its tags say."""
    import tifffile

    values = tifffile.imread(io.BytesIO(content), key=0)
    is_whole = values.ndim == 3 and values.shape[:2] == size[::-1]
    return values[..., :3] if is_whole else None


def _on_white(image: Image.Image) -> Image.Image:
    """Lay transparent pixels on white."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
