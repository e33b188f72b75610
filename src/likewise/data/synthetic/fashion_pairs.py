"""Pictures of two pieces of clothing each with captions that say which and where: captioned data that anybody has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from likewise.data.batch import UNLABELLED
from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.column import Column
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import ArrayPixels
from likewise.randomness import generator

NAMES = (
    "T-shirt",
    "pair of trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)
"""what a caption calls each class"""

SIDE_BY_SIDE = (
    "a {first} to the left of a {second}",
    "a {second} to the right of a {first}",
    "on the left a {first}, on the right a {second}",
    "a {first} and a {second} side by side",
    "a {first}, then a {second}",
)
ABOVE = (
    "a {first} above a {second}",
    "a {second} below a {first}",
    "at the top a {first}, at the bottom a {second}",
    "a {first} on top of a {second}",
    "a {first} over a {second}",
)


def fashion_pairs(single: Callable[[], Manifest]) -> Manifest:
    """Two pieces of clothing on a square of twice the side, side by side or one above the other; five captions each.

    Each image of the set is in one picture, with another of its split, so there are half as many pictures. Test
    pictures that show equal classes at equal positions have the same captions, and no model can distinguish them.

    Args:
        single: opens the set of single pieces, gray and square.
    """
    pieces = single()
    pixels: list[np.ndarray] = []
    texts: list[tuple[str, ...]] = []
    splits: list[str] = []
    ids: list[str] = []
    for split in ("train", "test"):
        pictures, captions = _pairs(pieces, split)
        pixels.append(pictures)
        texts += captions
        splits += [split] * len(captions)
        ids += [f"{split}/{number:05d}" for number in range(len(captions))]
    columns: dict[str, Column] = {CAPTIONS: Captions(texts)}
    return replace(
        pieces,
        source="fashion-pairs",
        pixels=ArrayPixels(np.concatenate(pixels)),
        labels=torch.full((len(texts),), UNLABELLED),
        splits=np.array(splits),
        ids=ids,
        class_names=(),
        columns=columns,
    )


def _pairs(pieces: Manifest, split: str) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """uint8 [n, 2S, 2S] and the captions of each."""
    rows = np.flatnonzero(pieces.splits == split)
    count = len(rows) // 2
    rng = generator(0, "fashion pairs", split)
    order = torch.randperm(len(rows), generator=rng).numpy()
    first, second = rows[order][: 2 * count].reshape(2, count)
    # far: in the right column, or the lower row
    is_above, far = torch.randint(0, 2, (2, count), generator=rng).numpy()
    assert isinstance(pieces.pixels, ArrayPixels)
    array = pieces.pixels.array
    side = array.shape[1]
    canvas = np.zeros((count, 2, side, 2, side), np.uint8)  # two rows and two columns of cells
    number = np.arange(count)
    canvas[number, far * (1 - is_above), :, far * is_above] = array[first]
    lower = np.where(is_above, 1, far)
    right = np.where(is_above, far, 1)
    canvas[number, lower, :, right] = array[second]
    names = [NAMES[label] for label in pieces.labels.tolist()]
    texts = []
    for one, other, above in zip(first, second, is_above, strict=True):
        templates = ABOVE if above else SIDE_BY_SIDE
        texts.append(
            tuple(text.format(first=names[one], second=names[other]) for text in templates)
        )
    return canvas.reshape(count, 2 * side, 2 * side), texts
