"""From a file's pixels to upright 8-bit gray or RGB, whatever mode the file was written in."""

from __future__ import annotations

import io
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from likewise.data.heif import enable_heif, is_heif

ORIENTATION = 0x0112
"""EXIF tag: 1 is upright, 5 to 8 are quarter turns"""

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


def is_deep_colour(image: Image.Image) -> bool:
    """Whether the file has colours of 16 bits, of which Pillow would take the upper 8."""
    return image.mode in {"RGB", "RGBA"} and ";16" in str(getattr(image, "tile", ""))


def deep_colour(content: bytes, image: Image.Image) -> np.ndarray | None:
    """uint16 [H, W, 3] of a PNG or TIFF with colours of 16 bits; None of anything else. Alpha is left out."""
    if not content or not is_deep_colour(image):
        return None
    if image.format == "PNG":
        import torch
        from torchvision.io import ImageReadMode, decode_png

        decoded = decode_png(
            torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.UNCHANGED
        )
        return decoded[:3].permute(1, 2, 0).numpy()
    if image.format == "TIFF":
        import tifffile

        values = tifffile.imread(io.BytesIO(content))
        is_interleaved = values.ndim == 3 and values.shape[:2] == image.size[::-1]
        return values[..., :3] if is_interleaved else None
    return None


def _on_white(image: Image.Image) -> Image.Image:
    """Lay transparent pixels on white."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
