"""What a claim measures of a trained encoder, on the test images, by a fixed protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from likewise.data.splits import Split
from likewise.data.splitter import DataSplitter
from likewise.evaluation.features import extract
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.own_classifier import measure_classifier
from likewise.evaluation.statistics.scores import Features
from likewise.methods import Nets
from likewise.runs.prepared import Prepared
from likewise.views.centre_view import CentreView


class TrainedArm:
    """An arm after training: networks, data, and the encoder's features, extracted once."""

    def __init__(self, data: Any, prepared: Prepared, nets: Nets, device: torch.device) -> None:
        self.data, self.prepared, self.nets, self.device = data, prepared, nets, device
        self.view = CentreView(prepared.encoder.image_size)
        self._features: dict[str, Tensor] = {}

    @property
    def test(self) -> Split:
        """The test images, with their true labels."""
        return self.prepared.splits["test"]

    def features(self, name: str) -> Tensor:
        """Float32 [N, D]: the features of a split's images."""
        if name not in self._features:
            self._features[name] = self.features_of(self.prepared.splits[name])
        return self._features[name]

    def features_of(self, split: Split) -> Tensor:
        """Float32 [N, D]: the features of any images."""
        rows = torch.arange(len(split.images))
        return extract(self.nets.encoder, split.images, rows, self.view, device=self.device)


class Measure(Protocol):
    """A frozen dataclass that scores a trained arm."""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Scores by name."""
        ...


@dataclass(frozen=True)
class Linear:
    """A linear probe on the frozen features; its L2 strength is chosen within the labels that it is fitted on.

    ``linear_top1`` is fitted on all true labels of the training images. ``linear_on_budget_top1`` is fitted on the
    labels that training saw: fewer, or with label noise.
    """

    on_budget: bool = False
    """whether to fit on the labels that training saw instead of all true ones"""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Accuracy on the test images."""
        prepared = trained.prepared
        labels = prepared.visible_labels if self.on_budget else prepared.train.labels
        fitted = LinearProbe(seed=prepared.settings.seed).fit(
            Features(trained.features("train"), labels)
        )
        right = fitted.predict(trained.features("test")) == trained.test.labels
        return {
            "linear_on_budget_top1" if self.on_budget else "linear_top1": float(
                right.double().mean()
            )
        }


@dataclass(frozen=True)
class ClassifierAccuracy:
    """The classifier that the method trained with its encoder: ``classifier_top1``."""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Accuracy on the test images."""
        rule, nets, test = trained.prepared.method, trained.nets, trained.test
        outcome = measure_classifier(
            "classifier_top1", rule, nets, test.images, test.labels, trained.view, {}
        )
        return {"classifier_top1": outcome.score.value}


@dataclass(frozen=True)
class Neighbours:
    """Nearest neighbours in a balanced bank: ``knn<k>_top1``, and ``knn<k>_<group>`` of some classes each.

    The bank is the training images before an imbalance left any of them out, as in ISD's paper: the score is about the
    encoder and not about the bank.
    """

    k: int = 20
    """number of neighbours"""
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """classes of each named group"""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Accuracy on the test images, and on those of each group."""
        test = trained.test.labels
        predictions = Knn(self.k).predict(self._bank(trained), trained.features("test"))
        right = (predictions == test).double()
        found = {f"knn{self.k}_top1": float(right.mean())}
        for name, classes in self.groups.items():
            in_group = torch.isin(test, torch.tensor(classes))
            found[f"knn{self.k}_{name}"] = float(right[in_group].mean())
        return found

    def _bank(self, trained: TrainedArm) -> Features:
        prepared = trained.prepared
        if prepared.settings.imbalance == "none":
            return Features(trained.features("train"), prepared.train.labels)
        splitter = DataSplitter(prepared.settings, size=prepared.encoder.image_size)
        manifest, _ = splitter.list_before_imbalance(trained.data)
        split = splitter.open(manifest, prepared.encoder.channels)["train"]
        return Features(trained.features_of(split), split.labels)
