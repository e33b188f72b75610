"""Random orders that are a function of a key and of names alone, never of the order in which files are listed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def ranks_within_class(labels: np.ndarray, ids: Sequence[str], key: str) -> np.ndarray:
    """int64 [N]: each example's rank in a random order of its class, a function of the key and its id alone.

    The order comes from a hash of (key, id), so it does not move when files are listed in another order or when
    other classes come or go, and any two amounts are nested.
    """
    scores = np.array([stable_score(key, name) for name in ids], dtype=np.uint64)
    order = np.lexsort((scores, labels))
    _, counts = np.unique(labels, return_counts=True)
    first = np.cumsum(counts) - counts  # where each class begins in the order
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(first, counts)
    return ranks


def stable_score(key: str, name: str) -> int:
    """A number from 0 to 2**64 - 1 that looks random, of a key and a name."""
    content = f"{key}\0{name}".encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")
