"""What a classifier is judged by: predictions of held-out labels, and the images that it learned from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.classification.temperature import confidences
from likewise.randomness import generator

MAX_REFERENCE = 5000
"""images at most to which new ones are compared"""

NEIGHBOUR = 5
"""which nearest neighbour's distance counts; of fewer images the last one's"""

FAMILIAR = 0.99
"""share of the images that were learned from that are called familiar, each compared with all the others"""

CHUNK = 1024
"""rows compared at a time"""


@dataclass(frozen=True, eq=False)
class Reference:
    """Held-out predictions, from which a threshold of probability is chosen, and features, for distances."""

    vectors: Tensor
    """unit vectors, float32 [M, D]: features of images that were learned from, with labels or without"""
    confidence: Tensor
    """float64 [N]: the probability of the predicted class of each held-out image"""
    correct: Tensor
    """bool [N]: whether that class is its label"""
    distance_limit: float
    """an image farther away is unlike anything learned"""
    protocol: dict[str, Any] = field(default_factory=dict)
    """how the head, the temperature and the held-out predictions came about"""

    @classmethod
    def of(
        cls,
        features: Tensor,
        held_out_logits: Tensor,
        held_out_labels: Tensor,
        temperature: float,
        protocol: dict[str, Any] | None = None,
        seed: int = 0,
    ) -> Reference:
        """From features and held-out logits.

        Args:
            features: float [M, D] of the images that were learned from; at most 5,000 random ones are stored.
            held_out_logits: float [N, K], not divided by the temperature; rows with NaN are passed over.
            held_out_labels: int64 [N], -1 where there is none.
            temperature: of the classifier.
            protocol: how these came about, in plain JSON types.
            seed: of the stored images.
        """
        if len(features) > MAX_REFERENCE:
            features = features[
                torch.randperm(len(features), generator=generator(seed, "reference"))[
                    :MAX_REFERENCE
                ]
                .sort()
                .values
            ]
        vectors = F.normalize(features.float(), dim=1)
        usable = (held_out_labels >= 0) & ~held_out_logits.isnan().any(dim=1)
        confidence, predicted = confidences(held_out_logits[usable], temperature)
        limit = _leave_one_out_limit(vectors)
        return cls(vectors, confidence, predicted == held_out_labels[usable], limit, protocol or {})

    def distances(self, features: Tensor) -> Tensor:
        """How unlike anything learned each of some images is, float [B, D] -> float32 [B] in [0, 2].

        One minus the cosine similarity to the fifth nearest image (Sun et al. 2022, Sec. 3,
        https://arxiv.org/abs/2204.06507).
        """
        return _kth_distance(
            F.normalize(features.float().cpu(), dim=1),
            self.vectors,
            min(NEIGHBOUR, len(self.vectors)),
        )


def _leave_one_out_limit(vectors: Tensor) -> float:
    """The distance within which 99% of the rows have their fifth nearest other row; 2, the greatest, of one row."""
    others = len(vectors) - 1
    if others < 1:
        return 2.0
    nearest = min(NEIGHBOUR, others) + 1  # the nearest is the row itself
    return float(_kth_distance(vectors, vectors, nearest).quantile(FAMILIAR))


def _kth_distance(queries: Tensor, vectors: Tensor, k: int) -> Tensor:
    found = [1 - (chunk @ vectors.T).topk(k, dim=1).values[:, -1] for chunk in queries.split(CHUNK)]
    return torch.cat(found)
