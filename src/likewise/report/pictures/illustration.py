"""A method's own pictures: what its trained networks make of a few training images, stored for the run's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.atomic_write import write_arrays

SIDE = 96
"""Pixels along a side of a stored picture at most."""


class Picture(NamedTuple):
    """An image with a caption."""

    pixels: Tensor
    """float [C, S, S] in 0 to 1, C = 1 or 3"""
    caption: str
    """the text below it, a number for instance"""
    column: str
    """the heading above it in its row"""


@dataclass(frozen=True)
class Illustration:
    """Rows of pictures, one for each example, in a section of their own on the run's page."""

    title: str
    """of the section"""
    explanation: str
    """what the pictures show and how to read them"""
    rows: Sequence[Sequence[Picture]]
    """pictures of one example each; those of one column are side by side, columns in the order of the first row"""

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file that `load` reads."""
        numbers, pictures = [], []
        for number, row in enumerate(self.rows):
            numbers += [number] * len(row)
            pictures += row
        write_arrays(
            path,
            title=np.array(self.title),
            explanation=np.array(self.explanation),
            pixels=np.stack([_small(picture.pixels) for picture in pictures]),
            row=np.array(numbers),
            column=np.array([picture.column for picture in pictures]),
            caption=np.array([picture.caption for picture in pictures]),
        )

    @classmethod
    def load(cls, path: Path) -> Illustration:
        """What `save` wrote, in whole steps of 1/255.

        Raises:
            OSError, KeyError, ValueError, zipfile.BadZipFile: the file cannot be read.
        """
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        count = int(arrays["row"].max()) + 1
        rows: list[list[Picture]] = [[] for _ in range(count)]
        columns = [arrays[name] for name in ("row", "pixels", "caption", "column")]
        for number, pixels, caption, column in zip(*columns, strict=True):
            image = torch.from_numpy(pixels).permute(2, 0, 1) / 255  # [C, S, S]
            rows[number].append(Picture(image, str(caption), str(column)))
        return cls(str(arrays["title"]), str(arrays["explanation"]), rows)


def weighted(pixels: Tensor, weights: Tensor, column: str, count: int) -> list[Picture]:
    """The images of the largest weights, largest first, each with its weight in percent.

    Args:
        pixels: [N, C, S, S].
        weights: [N].
        column: their heading.
        count: how many at most.
    """
    largest = weights.topk(min(count, len(weights)))
    pictures = []
    for weight, i in zip(largest.values.tolist(), largest.indices.tolist(), strict=True):
        pictures.append(Picture(pixels[i], f"{100 * weight:.3g}%", column))
    return pictures


def picture_rows(columns: Mapping[str, Tensor]) -> list[list[Picture]]:
    """A row for each example from [N, C, S, S] pictures by the name of their column; small and grey ones are fitted."""
    side = max(pictures.shape[-1] for pictures in columns.values())
    count = min(len(pictures) for pictures in columns.values())
    rows: list[list[Picture]] = [[] for _ in range(count)]
    for name, pictures in columns.items():
        fitted = F.interpolate(pictures.float(), size=(side, side))
        fitted = fitted.expand(-1, 3, -1, -1)  # [N, 3, side, side]
        for row, pixels in zip(rows, fitted, strict=True):
            row.append(Picture(pixels, "", name))
    return rows


def principal_colours(features: Tensor, side: int) -> Tensor:
    """Dense features [N, side * side, D] as colours [N, 3, side, side] in [0, 1].

    Their first three principal components over all images together, each clipped at two standard deviations.
    """
    rows = features.detach().float().flatten(0, 1)  # [N * side * side, D]
    centred = rows - rows.mean(dim=0)
    # The last are the greatest.
    components = torch.linalg.eigh(centred.mT @ centred).eigenvectors[:, -3:].flip(1)
    components = components * components.sum(dim=0).sign()  # a component's sign is arbitrary
    projected = centred @ components  # [N * side * side, 3]
    deviation = projected.std(dim=0, correction=0).clamp(min=1e-6)  # [3]
    colours = (projected / (4 * deviation) + 0.5).clamp(0, 1)
    images = colours.unflatten(0, (len(features), side, side))  # [N, side, side, 3]
    return images.permute(0, 3, 1, 2)


def _small(pixels: Tensor) -> np.ndarray:
    """uint8 [S, S, C], shrunk where it is larger than a page needs."""
    pixels = pixels.detach().float().cpu()
    if pixels.shape[-1] > SIDE:
        pixels = F.interpolate(pixels[None], size=(SIDE, SIDE), mode="area")[0]
    levels = pixels.clamp(0, 1).mul(255).round().byte()
    return levels.permute(1, 2, 0).numpy()
