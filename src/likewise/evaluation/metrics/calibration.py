"""Whether a classifier is right as often as it says it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED

BINS = 15
"""as in the paper"""


class Calibration(NamedTuple):
    """Answers put into bins of equal width by their confidence, the probability of the class that was answered.

    Guo et al. 2017, Sec. 2, https://arxiv.org/abs/1706.04599. Bin m of M holds confidences in ((m - 1) / M, m / M].
    """

    answers: list[int]
    """how many in each bin"""
    confidence: list[float]
    """mean confidence in each bin; 0 where it is empty"""
    accuracy: list[float]
    """share of right answers in each bin; 0 where it is empty"""

    @property
    def error(self) -> float:
        """The expected calibration error: the bins' |accuracy - confidence|, each weighted by its share of answers.

        It lies in [0, 1] and is somewhat above 0 even for a perfect classifier, the more so the fewer images there are.
        """
        bins = zip(self.answers, self.confidence, self.accuracy, strict=True)
        return sum(count * abs(right - sure) for count, sure, right in bins) / max(sum(self.answers), 1)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain JSON types."""
        return {"error": self.error, **self._asdict()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Calibration:
        """What ``to_json`` wrote."""
        return cls(content["answers"], content["confidence"], content["accuracy"])


def calibration(confidence: Tensor, correct: Tensor, bins: int = BINS) -> Calibration:
    """Confidences and whether they were right, put into bins.

    Args:
        confidence: float [N] in (0, 1].
        correct: bool [N].
        bins: how many.
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    place = torch.bucketize(confidence.double(), edges)
    count = torch.bincount(place, minlength=bins)
    sure, right = (
        torch.zeros(bins, dtype=torch.float64).index_add_(0, place, part.double()) / count.clamp(min=1)
        for part in (confidence, correct)
    )
    return Calibration(count.tolist(), sure.tolist(), right.tolist())


def calibration_of(logits: Tensor, labels: Tensor, classes: Tensor | None = None) -> Calibration | None:
    """Of a classifier's logits on test images; None where no image has a label.

    Args:
        logits: float [N, C].
        labels: int64 [N], UNLABELLED where there is none.
        classes: int64 [C], the label that each column stands for; None: 0..C-1.
    """
    known = labels != UNLABELLED
    if not bool(known.any()):
        return None
    confidence, column = logits[known].double().softmax(dim=1).max(dim=1)
    return calibration(confidence, (column if classes is None else classes[column]) == labels[known])
