"""Small files for the tests of data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def picture(number: int = 0, width: int = 8, height: int = 8, mode: str = "RGB") -> Image.Image:
    """An image that no other number has."""
    values = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def save(path: Path, number: int = 0, width: int = 8, height: int = 8, **options: object) -> Path:
    """Write such an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number, width, height).save(path, **options)
    return path


def photo_folder(root: Path, *names: str) -> Path:
    """A folder with one image for each name."""
    for number, name in enumerate(names):
        save(root / name, number)
    return root


def cut_short(path: Path) -> Path:
    """Take away the second half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path
