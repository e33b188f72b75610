"""Images that show the same picture, found without comparing every one with every other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE = 16
"""side of the gray thumbnails that are compared"""
MAX_DIFFERENCE = 4.0
"""mean difference in gray levels (of 255) up to which two thumbnails are the same picture"""
BANDS = 4
BUCKET = 100
"""images with an equal band, of which each is compared with the next so many in the order of the whole hash"""


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE]: the grey thumbnail by which an image is compared.

    Args:
        pixels: uint8 [H, W] or [H, W, C]; of other channels than RGB their mean is compared.
    """
    is_other = pixels.ndim == 3 and pixels.shape[2] != 3
    gray = pixels.mean(axis=2).round().astype(np.uint8) if is_other else pixels
    return np.asarray(Image.fromarray(gray).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX))


def near_duplicates(thumbnails: np.ndarray, max_difference: float = MAX_DIFFERENCE) -> list[list[int]]:
    """Groups of rows that show the same picture, re-encoded, resized or slightly retouched.

    Candidates share a quarter of a difference hash, as any two do that differ in up to three of its 64 bits
    (multi-index hashing: Norouzi et al. 2012, https://arxiv.org/abs/1307.2982); thumbnails decide. So a group may be
    missed, but no different images are taken for the same.

    Args:
        thumbnails: uint8 [N, SIDE, SIDE].
        max_difference: mean difference in gray levels up to which two thumbnails count as the same.
    """
    values = thumbnails.reshape(len(thumbnails), SIDE * SIDE).astype(np.int16)
    brightness, parent = values.mean(axis=1), np.arange(len(values))
    for one, other in _candidates(difference_hash(thumbnails)):
        # No two differ by less on average than their averages do, which spares nearly all comparisons.
        close = np.abs(brightness[one] - brightness[other]) <= max_difference
        one, other = one[close], other[close]
        same = np.abs(values[one] - values[other]).mean(axis=1) <= max_difference
        for pair in zip(one[same].tolist(), other[same].tolist(), strict=True):
            a, b = sorted(_root(parent, row) for row in pair)
            parent[b] = a
    groups = defaultdict[int, list[int]](list)
    for row in range(len(values)):
        groups[_root(parent, row)].append(row)
    return [group for group in groups.values() if len(group) > 1]


def difference_hash(thumbnails: np.ndarray) -> np.ndarray:
    """uint16 [N, BANDS]: 64 bits, each says whether a spot is brighter than its right neighbour.

    http://www.hackerfactor.com/blog/index.php?/archives/529-Kind-of-Like-That.html
    """
    count = len(thumbnails)
    spots = thumbnails.reshape(count, 8, SIDE // 8, 8, SIDE // 8).astype(np.float32).mean(axis=(2, 4))
    brighter = spots > np.roll(spots, -1, axis=2)
    return np.packbits(brighter.reshape(count, 64), axis=1).view(np.uint16)


def _candidates(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows with an equal band, many at a time."""
    whole = hashes.view(np.uint64)[:, 0] if len(hashes) else np.zeros(0, np.uint64)
    for band in range(BANDS):
        order = np.lexsort((whole, hashes[:, band]))
        key = hashes[order, band]
        for apart in range(1, min(BUCKET, len(order) - 1) + 1):
            equal = key[apart:] == key[:-apart]
            if not equal.any():
                break
            yield order[:-apart][equal], order[apart:][equal]


def _root(parent: np.ndarray, row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = int(parent[row])
    return row
