"""Test images that are in training too, looked for before a run where that costs next to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from likewise.data.checks.block_threads import block_threads, even_parts
from likewise.data.checks.copy_candidates import products
from likewise.data.checks.near_duplicates import STRICT_AGREEMENT, upright
from likewise.data.checks.picture_descriptors import SIDE, WHOLE, Descriptors, reference_descriptors
from likewise.data.checks.registration import agreement
from likewise.data.decoding import LUMA
from likewise.data.images import Images, InMemoryImages
from likewise.data.splits import Split

COMPARISONS = 1_000_000_000
"""of a held-out image with a training image, at most: five seconds on one core"""
SIMILARITY = 0.98
"""cosine of the descriptors of two images below which neither is the other's copy, as it is or mirrored"""
IMAGES_AT_ONCE = 1024


class Leak(NamedTuple):
    """A held-out image that is in training too."""

    held_out: int
    train: int


def leak_warnings(splits: Mapping[str, Split]) -> Iterator[str]:
    """A sentence for each held-out split with images that are in training too, as they are, mirrored or turned.

    Only images that are in memory already are compared, and at most COMPARISONS of them; ``likewise.doctor`` compares
    all, and finds crops as well.

    Args:
        splits: the opened parts of the data, among them ``train``.
    """
    train = splits["train"]
    train_thumbnails = _thumbnails(train.images)
    if train_thumbnails is None or not len(train_thumbnails):
        return
    for name, split in splits.items():
        thumbnails = _thumbnails(split.images) if name != "train" else None
        if thumbnails is None:
            continue
        # 1 where all are compared
        step = -(-len(thumbnails) * len(train_thumbnails) // COMPARISONS)
        leaks = find_leaks(thumbnails[::step], train_thumbnails)
        if leaks:
            first = leaks[0]
            looked_at = len(thumbnails[::step])
            yield (
                f"{len(leaks):,} of {looked_at:,} {name} images are in training too, as they are, mirrored or turned: "
                f"the scores are too good. {split.manifest.ids[first.held_out * step]} = "
                f"{train.manifest.ids[first.train]}. likewise doctor finds cropped copies as well, and lists them all."
            )


def find_leaks(held_out: np.ndarray, train: np.ndarray) -> list[Leak]:
    """Held-out images that are in training too, as they are, re-encoded, mirrored or turned by quarters.

    Args:
        held_out: uint8 [M, SIDE, SIDE] thumbnails.
        train: uint8 [N, SIDE, SIDE].
    """
    queries = reference_descriptors(held_out)
    keys = reference_descriptors(train)
    nearest = _nearest(torch.from_numpy(queries.vectors), torch.from_numpy(keys.vectors)).numpy()
    rows = np.flatnonzero(nearest >= 0)
    others = nearest[rows]
    agrees = _agreement(held_out, train, queries, keys, rows, others)
    is_copy = agrees >= STRICT_AGREEMENT
    pairs = zip(rows[is_copy].tolist(), others[is_copy].tolist(), strict=True)
    return [Leak(row, other) for row, other in pairs]


def _nearest(queries: Tensor, keys: Tensor) -> Tensor:
    """int64 [M]: the row of the key of the greatest cosine, -1 where none is above SIMILARITY."""
    with block_threads() as (threads, count):
        parts = [queries[some] for some in even_parts(len(queries), count)]
        nearest = list(threads.map(partial(_nearest_of, keys=keys), parts))
    return torch.cat(nearest) if nearest else torch.zeros(0, dtype=torch.int64)


def _nearest_of(queries: Tensor, keys: Tensor) -> Tensor:
    similarity = torch.full((len(queries),), SIMILARITY)
    nearest = torch.full((len(queries),), -1)
    for first, start, near in products(queries, keys):
        found = near.amax(dim=1)
        rows = (found > similarity[first : first + len(near)]).nonzero()[:, 0]
        similarity[first + rows] = found[rows]
        nearest[first + rows] = start + near[rows].argmax(dim=1)
    return nearest


def _agreement(
    held_out: np.ndarray,
    train: np.ndarray,
    queries: Descriptors,
    keys: Descriptors,
    rows: np.ndarray,
    others: np.ndarray,
) -> np.ndarray:
    """float32 [P]: of each held-out image with the whole of a training image."""
    parts = [np.zeros(0, np.float32)]
    for start in range(0, len(rows), IMAGES_AT_ONCE):
        mine = rows[start : start + IMAGES_AT_ONCE]
        theirs = others[start : start + IMAGES_AT_ONCE]
        shown = upright(held_out, mine, queries.orientations[mine])
        seen = upright(train, theirs, keys.orientations[theirs])
        boxes = torch.tensor(WHOLE).expand(len(mine), 4)
        parts.append(agreement(seen, shown, boxes).numpy())
    return np.concatenate(parts)


def _thumbnails(images: Images) -> np.ndarray | None:
    """uint8 [N, SIDE, SIDE] of images that are in memory, None of others and of clips."""
    if not isinstance(images, InMemoryImages) or images.frames > 1:
        return None
    pixels = images.pixels.images  # [N, C, S, S]
    channels = pixels.shape[1]
    weights = torch.tensor(LUMA) if channels == 3 else torch.full((channels,), 1 / channels)
    thumbnails = np.empty((len(pixels), SIDE, SIDE), np.uint8)
    for start in range(0, len(pixels), IMAGES_AT_ONCE):
        part = pixels[start : start + IMAGES_AT_ONCE].cpu().float()
        grey = (part * weights[:, None, None]).sum(dim=1, keepdim=True)  # [B, 1, S, S]
        small = functional.interpolate(
            grey,
            size=(SIDE, SIDE),
            mode="bilinear",
            antialias=True,
        )
        levels = small[:, 0].round().clamp(0, 255).to(torch.uint8)
        thumbnails[start : start + IMAGES_AT_ONCE] = levels.numpy()
    return thumbnails
