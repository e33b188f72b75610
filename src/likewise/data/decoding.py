"""From a file's pixels to upright 8-bit gray or RGB, whatever mode the file was written in."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

ORIENTATION = 0x0112
"""EXIF tag: 1 is upright, 5 to 8 are quarter turns"""

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow modes that hold no colour."""

CHANNELS_MODE = "{} channels"
"""The mode of images whose channels are neither grey nor RGB."""


def mode_of_channels(channels: int) -> str:
    """The mode of an image of 8-bit channels: Pillow's for grey and RGB, else for instance ``13 channels``."""
    return {1: "L", 3: "RGB"}.get(channels, CHANNELS_MODE.format(channels))


def channels_of_mode(mode: str) -> int:
    """How many channels an image of a mode has once decoded: 1 of grey, 3 of colours, else the mode's own number."""
    if mode in GRAY_MODES:
        return 1
    count, _, rest = mode.partition(" ")
    return int(count) if rest == "channels" else 3


def for_display(pixels: np.ndarray) -> np.ndarray:
    """Pixels as they can be shown: the first three channels, or the first as grey where there are only two.

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
    from torchvision.io import ImageReadMode, decode_jpeg  # one second, which a look at headers need not wait for

    mode = ImageReadMode.GRAY if image.mode == "L" else ImageReadMode.RGB
    try:
        # A bytearray, since torch warns of memory that must not be written to.
        decoded = decode_jpeg(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode)
    except RuntimeError:
        return None
    assert isinstance(decoded, torch.Tensor)  # a list only where a list was given
    if decoded.shape[:0:-1] != image.size:
        return None
    return (decoded[0] if image.mode == "L" else decoded.permute(1, 2, 0)).numpy()


def upright_pixels(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF says, in mode L (gray) or RGB.

    Transparent pixels are laid on white. 16-bit gray is scaled by its full range (65535 becomes 255), never clipped.

    Raises:
        OSError: the pixels cannot be decoded, for instance since the file was cut short.
        ValueError: floating-point pixels outside [0, 1], of which nobody can say what white is.
    """
    image = ImageOps.exif_transpose(image)
    gray = image.mode in GRAY_MODES
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _eight_bit(image)
    if image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info:
        image = _on_white(image)
    mode = "L" if gray else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Gray of 16 or 32 bits, or floating point, to 8 bits by the range of its type."""
    values = np.asarray(image).astype(np.float64)
    top = 1.0 if image.mode == "F" else 65535.0
    if image.mode == "I" and values.max(initial=0) > top:  # 32-bit integers are rare and mean what they say
        top = 2.0**31 - 1
    if values.min(initial=0) < 0 or values.max(initial=0) > top:
        raise ValueError(f"its pixels lie outside [0, {top:g}]")
    return Image.fromarray(np.rint(values * (255 / top)).astype(np.uint8))


def _on_white(image: Image.Image) -> Image.Image:
    """Lay transparent pixels on white."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
