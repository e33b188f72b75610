"""Pictures of what a method's trained networks make of a few training images, kept for the run's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 96
"""Pixels along a side of a kept picture at most."""


class Picture(NamedTuple):
    """An image with a word about it."""

    pixels: Tensor
    """float [C, S, S] in 0 to 1, C = 1 or 3; whatever the method drew into it included"""
    said: str
    """what stands below it, a number for instance"""
    column: str
    """the heading under which it stands in its row"""


@dataclass(frozen=True)
class Illustration:
    """Rows of pictures, one for each example, under a heading of their own on the run's page."""

    title: str
    """of the part of the page"""
    said: str
    """what the pictures show and how to read them"""
    rows: Sequence[Sequence[Picture]]
    """pictures of one example each; those of one column stand side by side, columns in the order of the first row"""

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file that `load` reads."""
        pictures = [picture for row in self.rows for picture in row]
        np.savez_compressed(
            path,
            title=np.array(self.title),
            said=np.array(self.said),
            pixels=np.stack([_small(picture.pixels) for picture in pictures]),
            row=np.array([number for number, row in enumerate(self.rows) for _ in row]),
            column=np.array([picture.column for picture in pictures]),
            below=np.array([picture.said for picture in pictures]),
        )

    @classmethod
    def load(cls, path: Path) -> Illustration:
        """What `save` wrote, in whole steps of 1/255.

        Raises:
            OSError, KeyError, ValueError, zipfile.BadZipFile: the file cannot be read.
        """
        with np.load(path, allow_pickle=False) as arrays:
            kept = dict(arrays)
        rows: list[list[Picture]] = [[] for _ in range(int(kept["row"].max()) + 1)]
        for number, pixels, below, column in zip(*(kept[n] for n in ("row", "pixels", "below", "column")), strict=True):
            rows[number].append(Picture(torch.from_numpy(pixels).permute(2, 0, 1) / 255, str(below), str(column)))
        return cls(str(kept["title"]), str(kept["said"]), rows)


def weighted(pixels: Tensor, weights: Tensor, column: str, count: int) -> list[Picture]:
    """The ``count`` images [N, C, S, S] of the largest weights [N], the largest first, each with it in percent."""
    best = weights.topk(min(count, len(weights)))
    return [
        Picture(pixels[i], f"{100 * share:.3g}%", column)
        for share, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def picture_rows(pictures: Mapping[str, Tensor]) -> list[list[Picture]]:
    """A row for each example from [N, C, S, S] pictures by the name of their column; small and grey ones are fitted."""
    side = max(each.shape[-1] for each in pictures.values())
    fitted = {
        name: F.interpolate(each.float(), size=(side, side)).expand(-1, 3, -1, -1) for name, each in pictures.items()
    }
    return [
        list(row) for row in zip(*([Picture(p, "", name) for p in each] for name, each in fitted.items()), strict=True)
    ]


def principal_colours(features: Tensor, side: int) -> Tensor:
    """Places' features [N, side * side, D] as colours [N, 3, side, side] in [0, 1].

    Their first three principal components over all images together, each cut off at two standard deviations.
    """
    rows = features.detach().float().flatten(0, 1)
    centred = rows - rows.mean(dim=0)
    components = torch.linalg.eigh(centred.mT @ centred).eigenvectors[:, -3:].flip(1)  # the last are the greatest
    turned = components * components.sum(dim=0).sign()  # a component's sign is arbitrary
    feature_std = centred @ turned
    colours = feature_std / (4 * feature_std.std(dim=0, correction=0).clamp(min=1e-6)) + 0.5
    return colours.clamp(0, 1).unflatten(0, (len(features), side, side)).permute(0, 3, 1, 2)


def _small(pixels: Tensor) -> np.ndarray:
    """uint8 [S, S, C], shrunk where it is larger than a page needs."""
    pixels = pixels.detach().float().cpu()
    if pixels.shape[-1] > SIDE:
        pixels = F.interpolate(pixels[None], size=(SIDE, SIDE), mode="area")[0]
    return pixels.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
