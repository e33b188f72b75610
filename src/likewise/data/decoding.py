"""From a file's pixels to upright 8-bit gray or RGB, whatever mode the file was written in."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow modes that hold no colour."""


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
    return image.convert("L" if gray else "RGB")


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
