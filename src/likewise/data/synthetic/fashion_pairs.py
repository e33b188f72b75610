"""Pictures of two pieces of clothing each with captions that say which and where: captioned data that anybody has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.column import Column
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import ArrayPixels
from likewise.randomness import generator

NAMES = ("T-shirt", "pair of trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")
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
    assert isinstance(pieces.pixels, ArrayPixels)
    parts = [_pairs(pieces, split) for split in ("train", "test")]
    pixels = np.concatenate([p for p, _ in parts])
    texts = [text for _, part in parts for text in part]
    splits = np.repeat(["train", "test"], [len(part) for _, part in parts])
    columns: dict[str, Column] = {CAPTIONS: Captions(texts)}
    return replace(
        pieces,
        source="fashion-pairs",
        pixels=ArrayPixels(pixels),
        labels=torch.full((len(texts),), -1),
        splits=splits,
        ids=[f"{split}/{number:05d}" for split, (_, part) in zip(("train", "test"), parts, strict=True)
             for number in range(len(part))],
        class_names=(),
        columns=columns,
    )  # fmt: skip


def _pairs(pieces: Manifest, split: str) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """uint8 [n, 2S, 2S] and the captions of each."""
    rows = np.flatnonzero(pieces.splits == split)
    chance = generator(0, "fashion pairs", split)
    first, second = rows[torch.randperm(len(rows), generator=chance).numpy()][: len(rows) // 2 * 2].reshape(2, -1)
    upright, far = torch.randint(0, 2, (2, len(first)), generator=chance).numpy()
    assert isinstance(pieces.pixels, ArrayPixels)
    array = pieces.pixels.array
    side = pieces.pixels.array.shape[1]
    canvas = np.zeros((len(first), 2, side, 2, side), np.uint8)  # two rows and two columns of cells
    number = np.arange(len(first))
    canvas[number, far * (1 - upright), :, far * upright] = array[first]
    canvas[number, np.where(upright, 1, far), :, np.where(upright, far, 1)] = array[second]
    labels = pieces.labels.numpy()
    texts = [
        tuple(text.format(first=NAMES[labels[a]], second=NAMES[labels[b]]) for text in (ABOVE if up else SIDE_BY_SIDE))
        for a, b, up in zip(first, second, upright, strict=True)
    ]
    return canvas.reshape(len(first), 2 * side, 2 * side), texts
