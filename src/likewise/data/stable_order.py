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
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) != 0]) if len(order) else np.zeros(0, np.int64)
    lengths = np.diff(np.r_[starts, len(order)])
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.repeat(starts, lengths)
    return ranks


def stable_score(key: str, name: str) -> int:
    """A number from 0 to 2**64 - 1 that looks random, of a key and a name."""
    return int.from_bytes(
        hashlib.blake2b(f"{key}\0{name}".encode(errors="surrogateescape"), digest_size=8).digest(), "big"
    )
