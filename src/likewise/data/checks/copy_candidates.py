"""Which images may be copies of each other: the nearest few of each, by coarse descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from likewise.data.checks.block_threads import block_threads, even_parts
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
"""whose windows' descriptors are held at a time: 2 MB"""
QUERIES_AT_ONCE = 512
KEYS_AT_ONCE = 1024
"""descriptors that are compared at a time: their similarities, 2 MB, stay in a processor's cache"""

PAIR = np.dtype(
    [
        ("part", np.int64),
        ("whole", np.int64),
        ("part_orientation", np.int64),
        ("whole_orientation", np.int64),
        ("window", np.int64),
        ("turn", np.int64),
    ]
)
"""two rows, the orientation in which each is to be seen, the window of the whole in which the part is looked for, and
the orientation that turns the whole as its file has it into the part as its file has it"""


def candidates(thumbnails: np.ndarray) -> np.ndarray:
    """PAIR [M], M <= NEAREST N: pairs of rows that may be copies, by the similarity of their descriptors.

    Every image is compared with every window of every other, at 36 multiplications each. Products of matrices do that
    exactly, within two minutes on one core for 100,000 images, where an index of hashes would miss crops.

    Args:
        thumbnails: uint8 [N, SIDE, SIDE].
    """
    parts = reference_descriptors(thumbnails)
    nearest = _Nearest(torch.from_numpy(parts.vectors))
    with block_threads() as (threads, count):
        for start in range(0, len(thumbnails), IMAGES_AT_ONCE):
            windows = window_descriptors(thumbnails[start : start + IMAGES_AT_ONCE])
            update = partial(nearest.update, windows, start)
            list(threads.map(update, even_parts(len(thumbnails), count)))
    similarity = nearest.similarity.numpy()
    part, rank = np.nonzero(similarity >= SIMILARITY)
    order = np.lexsort((part, -similarity[part, rank]))  # the most similar first
    return _distinct(_pairs(parts, part[order], nearest.code.numpy()[part, rank][order]))


def products(queries: Tensor, keys: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Every query times every key, block by block: the first query, the first key and their similarities.

    A block is overwritten by the next one. To make a new one each time takes twice as long, as the system clears it.

    Args:
        queries: [Q, D].
        keys: [K, D].
    """
    columns = keys.T.contiguous()  # [D, K]
    memory = torch.empty(QUERIES_AT_ONCE * KEYS_AT_ONCE)
    for first in range(0, len(queries), QUERIES_AT_ONCE):
        rows = queries[first : first + QUERIES_AT_ONCE]
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = columns[:, start : start + KEYS_AT_ONCE]
            block = memory[: len(rows) * some.shape[1]].view(len(rows), some.shape[1])
            yield first, start, torch.mm(rows, some, out=block)


class _Nearest:
    """The NEAREST windows of each image so far, by the similarity of their descriptors."""

    def __init__(self, queries: Tensor) -> None:
        self.queries = queries  # [N, D]
        self.similarity = torch.full((len(queries), NEAREST), -1.0)
        self.code = torch.zeros((len(queries), NEAREST), dtype=torch.int64)

    def update(self, windows: Descriptors, start: int, some: slice) -> None:
        """Compare some of the queries with the windows of IMAGES_AT_ONCE images, which begin at ``start``."""
        owners = torch.from_numpy(windows.rows + start)
        codes = owners * 8 + torch.from_numpy(windows.windows)
        codes = codes * 8 + torch.from_numpy(windows.orientations)
        for first, left, near in products(self.queries[some], torch.from_numpy(windows.vectors)):
            keys = slice(left, left + near.shape[1])
            rows = torch.arange(some.start + first, some.start + first + len(near))
            if rows[0] < start + IMAGES_AT_ONCE and start <= rows[-1]:
                near[owners[keys] == rows[:, None]] = -1.0  # an image is not its own copy
            self._keep(near, rows, codes[keys])

    def _keep(self, near: Tensor, rows: Tensor, codes: Tensor) -> None:
        # Most images have no candidate among some others, and a maximum takes far less time than the greatest few.
        last = self.similarity[rows[0] : rows[-1] + 1, -1]
        chosen = (near.amax(dim=1) >= last.clamp(min=SIMILARITY)).nonzero()[:, 0]
        if not len(chosen):
            return
        values, positions = near[chosen].topk(min(NEAREST, near.shape[1]), dim=1)
        rows = rows[chosen]
        similarities = torch.cat([self.similarity[rows], values], dim=1)
        both_codes = torch.cat([self.code[rows], codes[positions]], dim=1)
        similarity, ranks = similarities.topk(NEAREST, dim=1)
        self.similarity[rows] = similarity
        self.code[rows] = both_codes.gather(1, ranks)


def _pairs(parts: Descriptors, part: np.ndarray, code: np.ndarray) -> np.ndarray:
    pairs = np.empty(len(part), PAIR)
    pairs["part"] = part
    pairs["part_orientation"] = parts.orientations[part]
    pairs["whole"] = code // 64
    pairs["window"] = code // 8 % 8
    pairs["whole_orientation"] = code % 8
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
