"""Small files for the tests of data."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images


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


@cache
def _photographs() -> list[Image.Image]:
    """Parts of 96 x 96 pixels of the two photographs that come with scikit-learn, those with most detail first."""
    parts = []
    for pixels in load_sample_images().images:
        for top in range(0, pixels.shape[0] - 95, 100):
            for left in range(0, pixels.shape[1] - 95, 100):
                parts.append(pixels[top : top + 96, left : left + 96])
    parts.sort(key=lambda part: -np.abs(np.diff(part.astype(np.float32), axis=0)).mean())
    return [Image.fromarray(part) for part in parts]


def photograph(number: int) -> Image.Image:
    """One of 48 small photographs; the sky and what is out of focus come last."""
    return _photographs()[number]
