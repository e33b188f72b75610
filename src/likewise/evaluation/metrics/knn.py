"""Weighted nearest neighbours: a score without training, cheap enough to be measured during a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.statistics.confidence import WILSON, accuracy
from likewise.evaluation.statistics.scores import (
    Features,
    Measurement,
    Score,
    require_labelled,
    require_usable,
)

QUERIES = 512
ROWS = 16384
"""test and bank rows compared at a time: at most 32 MB of similarities"""


@dataclass(frozen=True)
class Knn:
    """Weighted nearest neighbours, Wu et al. 2018, section 3.4, https://arxiv.org/abs/1805.01978.

    A class gets sum_i exp(s_i / temperature) over those of the k nearest training images that belong to it, s being
    the cosine similarity. Ties for the k-th neighbour are resolved by the order of the bank, and equal votes go to the
    lower class, so predictions are deterministic. A vector of zeros has similarity 0 to everything.
    """

    k: int = 20
    """number of neighbours; a smaller bank is used whole"""
    temperature: float = 0.07
    """temperature of the votes' weights; 0.07 in the paper"""

    def __post_init__(self) -> None:
        if self.k < 1 or self.temperature <= 0:
            raise LikewiseError(
                f"Knn({self.k}, {self.temperature}): k must be 1 or more and the temperature above 0."
            )

    def evaluate(self, train: Features, test: Features) -> Measurement:
        """Top-1 accuracy on the labelled test rows; unlabelled training rows are left out."""
        require_labelled(test, "test")
        predictions = self.predict(train, test.vectors)
        interval, count = accuracy(predictions, test.labels)
        score = Score(f"knn{self.k}_top1", *interval, count, self._protocol(train))
        return Measurement(score, predictions)

    @torch.no_grad()
    def predict(self, train: Features, vectors: Tensor) -> Tensor:
        """A class for each vector, float [N, D] -> int64 [N] on the CPU.

        Raises:
            LikewiseError: no training row has a label, or a vector is NaN or infinite.
        """
        bank = require_labelled(train, "training")
        require_usable(vectors, "test")
        rows = F.normalize(bank.vectors.float(), dim=1)
        labels = bank.labels.to(rows.device)
        classes = int(labels.max()) + 1
        predictions = []
        for queries in F.normalize(vectors.float().to(rows.device), dim=1).split(QUERIES):
            similarity, neighbour = nearest(queries, rows, self.k)  # [B, k]
            # Relative to the nearest neighbour, whose weight is 1, so that exp cannot overflow.
            weight = ((similarity - similarity[:, :1]) / self.temperature).exp()  # [B, k]
            votes = torch.zeros(len(queries), classes, dtype=torch.float64, device=rows.device)
            votes.scatter_add_(1, labels[neighbour], weight.double())
            predictions.append(votes.argmax(dim=1))
        return torch.cat(predictions).cpu()

    def _protocol(self, train: Features) -> dict[str, Any]:
        bank = int((train.labels != UNLABELLED).sum())
        return {
            "k": min(self.k, bank),
            "k_requested": self.k,
            "temperature": self.temperature,
            "bank": bank,
            "interval": WILSON,
        }


def nearest(queries: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k bank rows most similar to each query, most similar first, equal ones in bank order.

    Args:
        queries: float [B, D], unit length.
        bank: float [N, D], unit length.
        k: how many; at most N are given.

    Returns:
        Similarity float [B, k] and position in the bank int64 [B, k].
    """
    similarity = queries.new_empty(len(queries), 0)
    position = torch.empty(len(queries), 0, dtype=torch.int64, device=queries.device)
    for first in range(0, len(bank), ROWS):
        values, columns = _first_largest(queries @ bank[first : first + ROWS].T, k)
        similarity = torch.cat([similarity, values], dim=1)
        position = torch.cat([position, columns + first], dim=1)
        # Earlier chunks come first, so a stable sort keeps the bank's order among equals.
        similarity, order = similarity.sort(dim=1, descending=True, stable=True)
        similarity = similarity[:, :k]
        position = position.gather(1, order)[:, :k]
    return similarity, position


def _first_largest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """``topk`` with ties resolved by column."""
    if k >= values.shape[1]:
        return values.sort(dim=1, descending=True, stable=True)
    top, columns = values.topk(k + 1, dim=1)
    columns = columns[:, :k].sort(dim=1).values
    # topk may choose any of several values equal to the k-th.
    tied = (top[:, k - 1] == top[:, k]).nonzero().flatten()
    if len(tied):
        columns[tied] = _first_with_ties(values[tied], top[tied, k - 1 : k], k)
    largest, order = values.gather(1, columns).sort(
        dim=1,
        descending=True,
        stable=True,
    )
    return largest, columns.gather(1, order)


def _first_with_ties(values: Tensor, smallest: Tensor, k: int) -> Tensor:
    """Columns of the k largest values of each row, of those equal to the k-th (``smallest``, [B, 1]) the first."""
    larger = values > smallest  # [B, N]
    equal = values == smallest
    wanted = k - larger.sum(dim=1, keepdim=True)
    chosen = larger | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= wanted))
    return chosen.nonzero()[:, 1].view(len(values), k)
