"""Accuracy of a linear probe on a few labels of each class: what more labels would bring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.label_budget import LabelBudget
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.metrics.logistic_regression import Standardiser
from likewise.evaluation.statistics.confidence import CROSSED, WILSON, crossed_accuracy
from likewise.evaluation.statistics.scores import (
    Features,
    Measurement,
    Score,
    require_labelled,
    require_usable,
)

VARIES = ("validation_accuracy", "validation_cross_entropy")
"""entries of the probe's protocol that differ between draws"""


@dataclass(frozen=True)
class FewLabel:
    """The linear probe on several draws of a few labelled images a class, averaged.

    Draw r of every budget comes from ``LabelBudget`` with seed ``seed + r``, so budgets are nested within a draw and
    two encoders are probed with the same draws. Features are standardised over all training images, whose hidden labels
    are not used. The L2 strength is chosen within the drawn labels.
    """

    per_class: Sequence[int] = (2, 4, 10, 50)
    """labels of each class; each amount is a score of its own"""
    draws: int = 5
    """how many draws of the labels are averaged"""
    seed: int = 0
    """seed of the first draw"""
    probe: LinearProbe = field(default_factory=LinearProbe)
    """what is fitted on each draw"""

    def __post_init__(self) -> None:
        if self.draws < 1 or any(amount < 1 for amount in self.per_class):
            raise LikewiseError(
                f"FewLabel({self.per_class}, draws={self.draws}): give 1 or more labels and draws."
            )

    def within(self, labels: Tensor) -> FewLabel:
        """The same with only the amounts that every class has."""
        counts = labels[labels != UNLABELLED].unique(return_counts=True)[1]
        scarcest = int(counts.min()) if len(counts) else 0
        return replace(
            self, per_class=tuple(amount for amount in self.per_class if amount <= scarcest)
        )

    def evaluate(
        self, train: Features, test: Features, ids: Sequence[str]
    ) -> Iterator[Measurement]:
        """One measurement for each amount: few2_top1, few4_top1, ...; its predictions are [draws, N].

        Args:
            train: training features; only the drawn rows are used with their label.
            test: test features.
            ids: stable ids of the training rows; labels are drawn by them.

        Raises:
            LikewiseError: a class has fewer labels than an amount (see ``within``), or as ``LinearProbe.fit``.
        """
        require_labelled(test, "test")
        require_usable(train.vectors, "training")
        standardise, vectors = Standardiser.of(train.vectors), test.vectors.cpu()
        pools = [
            _Pool.of(train, ids, max(self.per_class, default=1), seed) for seed in self._seeds()
        ]
        for amount in self.per_class:
            fits = [self.probe.fit(pool.drawn(amount), standardise) for pool in pools]
            protocol = {key: value for key, value in fits[0].protocol.items() if key not in VARIES}
            protocol["strength"] = [fitted.protocol["strength"] for fitted in fits]
            protocol["per_class"] = amount
            predictions = torch.stack([fitted.predict(vectors) for fitted in fits])  # [R, N]
            yield self._measured(predictions, test.labels, protocol)

    def _seeds(self) -> list[int]:
        return list(range(self.seed, self.seed + self.draws))

    def _measured(
        self, predictions: Tensor, labels: Tensor, protocol: dict[str, Any]
    ) -> Measurement:
        """Average and interval over draws [R, N]."""
        known = labels != UNLABELLED
        interval = crossed_accuracy((predictions == labels)[:, known])
        protocol = protocol | {
            "draws": self.draws,
            "seeds": self._seeds(),
            "interval": CROSSED
            if self.draws > 1
            else f"{WILSON}; one draw says nothing about other draws",
        }
        score = Score(f"few{protocol['per_class']}_top1", *interval, int(known.sum()), protocol)
        return Measurement(score, predictions)


class _Pool(NamedTuple):
    """The rows of a draw's largest amount, in which the smaller ones lie: to order all rows takes long."""

    features: Features
    ids: Sequence[str]
    seed: int

    @classmethod
    def of(cls, train: Features, ids: Sequence[str], most: int, seed: int) -> _Pool:
        """The rows with so many labels of each class."""
        labels = LabelBudget(per_class=most, seed=seed).apply(train.labels, ids)
        rows = (labels != UNLABELLED).nonzero().flatten()
        return cls(
            Features(train.vectors[rows], labels[rows]),
            [str(ids[row]) for row in rows.tolist()],
            seed,
        )

    def drawn(self, amount: int) -> Features:
        """Those with fewer labels of each class."""
        labels = LabelBudget(per_class=amount, seed=self.seed).apply(self.features.labels, self.ids)
        return Features(self.features.vectors, labels).labelled()
