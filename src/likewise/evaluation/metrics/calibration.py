"""Calibration: whether a classifier's confidence is its accuracy (expected calibration error)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED

BINS = 15
"""number of bins in the paper"""


class Calibration(NamedTuple):
    """Predictions in bins of equal width of their confidence, the probability of the predicted class.

    Guo et al. 2017, Sec. 2, https://arxiv.org/abs/1706.04599. Bin m of M holds confidences in ((m - 1) / M, m / M].
    """

    counts: list[int]
    """predictions in each bin"""
    confidence: list[float]
    """mean confidence in each bin; 0 where it is empty"""
    accuracy: list[float]
    """share of correct predictions in each bin; 0 where it is empty"""

    @property
    def error(self) -> float:
        """The expected calibration error: the mean of the bins' |accuracy - confidence|, weighted by their counts.

        It is in [0, 1], and above 0 even for a perfectly calibrated classifier, more so with few images.
        """
        bins = zip(self.counts, self.confidence, self.accuracy, strict=True)
        total = sum(count * abs(accuracy - confidence) for count, confidence, accuracy in bins)
        return total / max(sum(self.counts), 1)

    def to_json(self) -> dict[str, Any]:
        """A dictionary of plain JSON types."""
        return {"error": self.error, **self._asdict()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Calibration:
        """The calibration that ``to_json`` wrote."""
        return cls(content["counts"], content["confidence"], content["accuracy"])


def calibration(confidence: Tensor, correct: Tensor, bins: int = BINS) -> Calibration:
    """Bin confidences and whether the predictions were correct.

    Args:
        confidence: float [N] in (0, 1].
        correct: bool [N].
        bins: number of bins.
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    index = torch.bucketize(confidence.double(), edges)  # [N], each prediction's bin
    counts = torch.bincount(index, minlength=bins)
    empty = torch.zeros(bins, dtype=torch.float64)
    mean_confidence = empty.index_add(0, index, confidence.double()) / counts.clamp(min=1)
    accuracy = empty.index_add(0, index, correct.double()) / counts.clamp(min=1)
    return Calibration(counts.tolist(), mean_confidence.tolist(), accuracy.tolist())


def calibration_of(
    logits: Tensor, labels: Tensor, classes: Tensor | None = None
) -> Calibration | None:
    """Calibration of a classifier's logits on test images; None where no image has a label.

    Args:
        logits: float [N, C].
        labels: int64 [N], UNLABELLED where there is none.
        classes: int64 [C], the label of each column; None: 0..C-1.
    """
    known = labels != UNLABELLED
    if not bool(known.any()):
        return None
    confidence, column = logits[known].double().softmax(dim=1).max(dim=1)
    predictions = column if classes is None else classes[column]
    return calibration(confidence, predictions == labels[known])
