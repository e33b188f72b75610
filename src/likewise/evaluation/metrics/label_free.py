"""Measures of features that need no labels: how many directions they use, and how evenly they spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.evaluation.metrics.threads import threads_for_decomposition
from likewise.methods.method import feature_std

PAIRS = 4096
"""rows compared with one another by ``uniformity`` inside ``label_free``"""


@torch.no_grad()
def effective_rank(vectors: Tensor) -> float:
    """How many directions the features really use, in [1, min(N, D)]; near 1 after a collapse.

    exp(-sum p_k log p_k) with p_k = s_k / sum(s) + 1e-7 over the singular values s: RankMe, Garrido et al. 2023,
    section 3, https://arxiv.org/abs/2210.02885. As there, features are not centred. The singular values
    come from the smaller Gram matrix in float64, which is an order faster and as exact as float32 features deserve.

    Args:
        vectors: float [N, D].

    Returns:
        The rank; 0.0 where every feature is zero or there is no row, NaN where a feature is NaN or infinite.
    """
    if not bool(vectors.isfinite().all()):
        return math.nan
    rows = vectors.double()
    gram = rows.T @ rows if len(rows) > rows.shape[1] else rows @ rows.T
    with threads_for_decomposition(len(gram)):
        singular = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    total = singular.sum()
    if float(total) == 0:
        return 0.0
    share = singular / total + 1e-7
    return float((-(share * share.log()).sum()).exp())


@torch.no_grad()
def uniformity(vectors: Tensor) -> float:
    """Log of the mean of exp(-2 ||u - v||^2) over pairs of unit vectors; lower is more even, 0 when all are equal.

    Wang and Isola 2020, section 4.1 (t = 2), https://arxiv.org/abs/2005.10242. All N (N - 1) / 2 pairs are taken.

    Args:
        vectors: float [N, D].

    Returns:
        The uniformity, at least -8; NaN for a single row, which has no pair.
    """
    count = len(vectors)
    if count < 2:
        return math.nan
    units = F.normalize(vectors.double(), dim=1)
    lengths = units.square().sum(1)  # 1, or 0 of a row of zeros
    total = 0.0
    for first in range(0, count, 1024):
        block = units[first : first + 1024]
        of_block = lengths[first : first + 1024]
        squared = of_block[:, None] + lengths - 2 * block @ units.T  # [1024, N], distances
        squared = squared.clamp_min(0)
        squared.diagonal(offset=first).fill_(math.inf)  # a row is not paired with itself
        total += float((-2 * squared).exp().sum())
    return math.log(max(total, 1e-300) / (count * (count - 1)))


def label_free(vectors: Tensor) -> dict[str, float]:
    """``effective_rank``, ``feature_std`` and ``uniformity`` (over at most 4,096 evenly spaced rows) of [N, D]."""
    some = torch.linspace(0, len(vectors) - 1, min(PAIRS, len(vectors))).long()
    return {
        "effective_rank": effective_rank(vectors),
        "feature_std": float(feature_std(vectors)),
        "uniformity": uniformity(vectors[some]),
    }
