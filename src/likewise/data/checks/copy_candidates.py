"""Which images may be copies of each other: the nearest few of each, by coarse descriptors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from likewise.data.checks.picture_descriptors import (
    ORIENTATIONS,
    Descriptors,
    oriented,
    reference_descriptors,
    window_descriptors,
)

NEAREST = 8
"""candidates that an image may have"""
SIMILARITY = 0.84
"""cosine of two descriptors below which their images are no candidates: 99 of 100 crops by a tenth lie above it"""
IMAGES_AT_ONCE = 1024
"""whose descriptors are compared with those of as many others: 50 MB of similarities"""

PAIR = np.dtype([
    ("part", np.int64), ("whole", np.int64), ("part_orientation", np.int64), ("whole_orientation", np.int64),
    ("window", np.int64), ("turn", np.int64),
])  # fmt: skip
"""two rows, the orientation in which each is to be seen, the window of the whole in which the part is looked for, and
the orientation that turns the whole as its file has it into the part as its file has it"""


def candidates(thumbnails: np.ndarray) -> np.ndarray:
    """PAIR [M], M <= NEAREST N: pairs of rows that may be copies, by the similarity of their descriptors.

    Every image is compared with every window of every other, at 36 multiplications each. Products of matrices do that
    exactly, within minutes for 100,000 images, where an index of hashes would miss crops.

    Args:
        thumbnails: uint8 [N, SIDE, SIDE].
    """
    parts = reference_descriptors(thumbnails)
    queries = torch.from_numpy(parts.vectors)
    similarity = torch.full((len(thumbnails), NEAREST), -1.0)
    entry = torch.zeros((len(thumbnails), NEAREST), dtype=torch.int64)
    for start in range(0, len(thumbnails), IMAGES_AT_ONCE):
        windows = window_descriptors(thumbnails[start : start + IMAGES_AT_ONCE])
        _update(similarity, entry, queries, windows, start)
    part, rank = np.nonzero(similarity.numpy() >= SIMILARITY)
    order = np.lexsort((part, -similarity.numpy()[part, rank]))  # the most similar first
    return _distinct(_pairs(parts, part[order], entry.numpy()[part, rank][order]))


def _update(similarity: Tensor, entry: Tensor, queries: Tensor, windows: Descriptors, start: int) -> None:
    """Take the nearest of some images' windows into the nearest of all images so far, in place."""
    vectors = torch.from_numpy(windows.vectors).T.contiguous()
    owners = torch.from_numpy(windows.rows + start)
    codes = (owners * 8 + torch.from_numpy(windows.windows)) * 8 + torch.from_numpy(windows.orientations)
    for first in range(0, len(queries), IMAGES_AT_ONCE):
        some = slice(first, first + IMAGES_AT_ONCE)
        near = queries[some] @ vectors  # [Q, W]
        if first == start:
            near[owners[None] == torch.arange(first, first + len(near))[:, None]] = -1.0  # an image is not its own copy
        # Most images have no candidate among some others, and a maximum takes far less time than the greatest few.
        wanted = near.amax(dim=1) >= similarity[some, -1].clamp(min=SIMILARITY)
        rows = wanted.nonzero()[:, 0]
        if not len(rows):
            continue
        values, positions = near[rows].topk(min(NEAREST, near.shape[1]), dim=1)
        rows = rows + first
        values, ranks = torch.cat([similarity[rows], values], dim=1).topk(NEAREST, dim=1)
        similarity[rows] = values
        entry[rows] = torch.cat([entry[rows], codes[positions]], dim=1).gather(1, ranks)


def _pairs(parts: Descriptors, part: np.ndarray, code: np.ndarray) -> np.ndarray:
    pairs = np.empty(len(part), PAIR)
    pairs["part"], pairs["part_orientation"] = part, parts.orientations[part]
    pairs["whole"], pairs["window"], pairs["whole_orientation"] = code // 64, code // 8 % 8, code % 8
    pairs["turn"] = _turns()[pairs["whole_orientation"], pairs["part_orientation"]]
    return pairs


def _distinct(pairs: np.ndarray) -> np.ndarray:
    """The first of the pairs that say the same of the same rows but for the window."""
    _, first = np.unique(pairs[["part", "whole", "turn"]], return_index=True)
    return pairs[np.sort(first)]


def _turns() -> np.ndarray:
    """int64 [8, 8]: what turns a whole into a part that look alike in a given orientation each."""
    count = len(ORIENTATIONS)
    corners = np.arange(4).reshape(2, 2)
    turns = np.empty((count, count), np.int64)
    for turn in range(count):
        moved = oriented(corners, turn)
        for part in range(count):
            seen = oriented(moved, part)
            for whole in range(count):
                if np.array_equal(seen, oriented(corners, whole)):
                    turns[whole, part] = turn
    return turns
