"""Every measure of every encoder, from features that are already there or are extracted once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED
from likewise.data.manifest import Manifest
from likewise.errors import LikewiseError
from likewise.evaluation.evaluation import Evaluation, EvaluationSettings
from likewise.evaluation.features import EvalView, PixelReader, extract
from likewise.evaluation.metrics.calibration import Calibration
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.label_free import label_free
from likewise.evaluation.metrics.linear_probe import FittedProbe, LinearProbe
from likewise.evaluation.statistics.class_groups import ClassGroup, class_groups, class_mean
from likewise.evaluation.statistics.design_effect import with_cluster_adjusted_ci
from likewise.evaluation.statistics.score_differences import differences_to_first
from likewise.evaluation.statistics.scores import Features, Measurement, Score, require_usable

Part = Literal["train", "test"]

FeatureSource = Callable[[Part], Tensor]
"""The features of one part of the data, float32 [N, D]"""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is known of N examples besides their features."""

    labels: Tensor
    """int64 [N], UNLABELLED where there is none"""
    ids: Sequence[str]
    """N stable ids; few labels are drawn by them"""
    visible_labels: Tensor | None = None
    """int64 [N], the labels that training saw, where those are fewer; they then have a probe of their own"""
    seen_in_training: Tensor | None = None
    """bool [N], which examples training saw, where it did not see them all; they decide which classes are rare"""
    groups: Tensor | None = None
    """int64 [N], which examples belong together, where that is known; intervals over test images are then wider"""


@dataclass(frozen=True, kw_only=True)
class Examples(Targets):
    """Images to be evaluated on."""

    images: PixelReader
    """where the pixels are"""
    index: Tensor
    """int64 [N], positions in ``images``"""


def evaluate_encoders(
    encoders: Mapping[str, nn.Module],
    train: Examples,
    test: Examples | None,
    view: EvalView,
    settings: EvaluationSettings | None = None,
    device: torch.device | str | None = None,
    first_features: Mapping[str, Tensor] | None = None,
) -> Evaluation:
    """Extract each encoder's features once, then take every measure; see `evaluate_features`.

    Args:
        encoders: by name, the one in question first: trained, untrained, start.
        train: images to learn from; the probes see their labels.
        test: images to be measured on, or None.
        view: the pixels that an encoder is given of an image.
        settings: what is measured; None takes the defaults.
        device: where to compute; None leaves each encoder where it is.
        first_features: the first encoder's features by part, float32 [N, D], where they have been extracted already.

    Raises:
        LikewiseError: there is no encoder, one gives NaN or infinite features, or an image cannot be decoded.
    """
    settings = settings or EvaluationSettings()
    known = first_features or {}
    first = next(iter(encoders.values()), None)

    def features(encoder: nn.Module, part: Part) -> Tensor:
        if encoder is first and part in known:
            return known[part]
        examples = test if part == "test" and test is not None else train
        return extract(encoder, examples.images, examples.index, view, settings.batch_size, device)

    sources = {name: partial(features, encoder) for name, encoder in encoders.items()}
    return evaluate_features(sources, train, test, settings, device)


def evaluate_features(
    sources: Mapping[str, FeatureSource],
    train: Targets,
    test: Targets | None,
    settings: EvaluationSettings,
    device: torch.device | str | None = None,
) -> Evaluation:
    """Take every measure of every encoder's features.

    Without labelled test images, or with fewer than two classes in the training labels, only the label-free
    measures are given, and a note says why.

    Args:
        sources: by encoder, the one in question first. Each part is requested once, one encoder after another, so
            that features of two encoders need not be in memory together.
        train: what is known of the training images; the probes see their labels.
        test: what is known of the test images, or None.
        settings: what is measured.
        device: a GPU that is to score the features, where they fit it; None, or any other, leaves them where they are.

    Raises:
        LikewiseError: there is no encoder, or features are NaN or infinite.
    """
    if not sources:
        raise LikewiseError(
            "There is no encoder to evaluate; give at least one by name, such as {'trained': encoder}."
        )
    protocol = _Protocol.of(settings, train, test, device)
    found = dict[str, _Found]()
    vectors = None
    for name, source in sources.items():
        # Only the first encoder's features outlive their turn.
        found[name], features = protocol.measure(name, source)
        vectors = features if vectors is None else vectors
    assert vectors is not None
    first = next(iter(found.values()))
    measurements = {name: each.measurements for name, each in found.items()}
    return Evaluation(
        by_encoder={name: each.scores() for name, each in found.items()},
        differences=differences_to_first(measurements, test.labels, test.groups) if test else [],
        label_free={name: each.label_free for name, each in found.items()},
        calibration={name: each.calibrations() for name, each in found.items()},
        probes={name: each.probe for name, each in found.items() if each.probe},
        predictions=first.predictions("linear_top1"),
        vectors=vectors,
        notes=_notes(protocol.reason, settings.few_label, protocol.few_label),
    )


class _Found(NamedTuple):
    """What was measured of one encoder."""

    measurements: list[Measurement]
    label_free: dict[str, float]
    probe: FittedProbe | None

    def scores(self) -> list[Score]:
        return [each.score for each in self.measurements]

    def calibrations(self) -> dict[str, Calibration]:
        """By the score whose classifier they describe."""
        return {each.score.name: each.calibration for each in self.measurements if each.calibration}

    def predictions(self, score: str) -> Tensor | None:
        """The predicted classes behind a score, int64 [N]; None where it was not measured."""
        for each in self.measurements:
            if each.score.name == score:
                return each.predictions
        return None


@dataclass(frozen=True)
class _Protocol:
    """What is measured of every encoder alike."""

    settings: EvaluationSettings
    few_label: FewLabel | None
    """with the amounts of labels that there are"""
    groups: Sequence[ClassGroup]
    train: Targets
    test: Targets | None
    reason: str | None
    """why accuracy cannot be measured; None: it can"""
    device: torch.device | str | None

    @classmethod
    def of(
        cls,
        settings: EvaluationSettings,
        train: Targets,
        test: Targets | None,
        device: torch.device | str | None,
    ) -> _Protocol:
        """What these labels allow of the settings."""
        reason = why_unmeasurable(train.labels, None if test is None else test.labels)
        if reason or test is None:
            return cls(settings, None, [], train, test, reason, device)
        few_label = settings.few_label.within(train.labels) if settings.few_label else None
        groups = class_groups(_seen(train), test.labels)
        return cls(settings, few_label, groups, train, test, reason, device)

    def measure(self, name: str, source: FeatureSource) -> tuple[_Found, Tensor]:
        """What is measured of one encoder, and its features of the test part (of train without one)."""
        test = self.test
        vectors = _usable(name, source("test" if test else "train"))
        queries = Features(scored_on(self.device, vectors), (test or self.train).labels)
        measures = label_free(queries.vectors) if self.settings.label_free else {}
        if self.reason or test is None:
            return _Found([], measures, None), vectors
        of_train = _usable(name, source("train"))
        bank = Features(scored_on(self.device, of_train), self.train.labels)
        probe = self.settings.linear.fit(bank) if self.settings.linear else None
        measurements = []
        for found in self.measurements(probe, bank, queries):
            measurements.append(with_cluster_adjusted_ci(found, test.labels, test.groups))
        return _Found(measurements, measures, probe), vectors

    def measurements(
        self, probe: FittedProbe | None, bank: Features, queries: Features
    ) -> Iterator[Measurement]:
        """Everything that compares predictions with labels."""
        settings, visible_labels = self.settings, self.train.visible_labels
        on_all_labels = []
        if settings.knn:
            on_all_labels.append(settings.knn.evaluate(bank, queries))
        if probe:
            on_all_labels.append(probe.evaluate(queries))
        yield from on_all_labels
        if settings.linear and visible_labels is not None:
            on_budget = Features(bank.vectors, visible_labels)
            yield from _on_budget(settings.linear, on_budget, queries)
        if self.few_label:
            yield from self.few_label.evaluate(bank, queries, self.train.ids)
        for group in self.groups:
            for measurement in on_all_labels:
                yield class_mean(measurement, queries.labels, group)


def _usable(name: str, vectors: Tensor) -> Tensor:
    """An encoder's features.

    Raises:
        LikewiseError: they are NaN or infinite.
    """
    require_usable(vectors, "encoder's" if name == "encoder" else f"{name} encoder's")
    return vectors


def scored_on(device: torch.device | str | None, vectors: Tensor) -> Tensor:
    """The vectors on a CUDA GPU of whose free memory they take at most an eighth; else as they are."""
    where = vectors.device if device is None else torch.device(device)
    if where.type != "cuda":
        return vectors
    free, _ = torch.cuda.mem_get_info(where)
    return vectors if vectors.nbytes > free // 8 else vectors.to(where)


def why_unmeasurable(train: Tensor, test: Tensor | None) -> str | None:
    """Why accuracy cannot be measured with these labels; None where it can."""
    if test is None or not bool((test != UNLABELLED).any()):
        return "no test image is labelled with one class"
    classes = train[train != UNLABELLED].unique()
    if not len(classes):
        return "no training image is labelled with one class"
    return "all training labels are of one class" if len(classes) == 1 else None


def _seen(train: Targets) -> Tensor:
    """Labels of the images that training saw."""
    return train.labels if train.seen_in_training is None else train.labels[train.seen_in_training]


def _on_budget(probe: LinearProbe, bank: Features, queries: Features) -> Iterator[Measurement]:
    """The probe's score from the labels that training saw, where they are of two classes or more."""
    if len(bank.labelled().labels.unique()) > 1:
        measurement = probe.evaluate(bank, queries)
        yield measurement._replace(score=replace(measurement.score, name="linear_on_budget_top1"))


def group_numbers(manifest: Manifest) -> Tensor | None:
    """int64 [N], a number for each example's group; None where the data have no groups."""
    if manifest.groups is None:
        return None
    _, numbers = np.unique(manifest.groups.names, return_inverse=True)
    return torch.from_numpy(numbers)


def _notes(
    reason: str | None, wanted: FewLabel | None, possible: FewLabel | None
) -> tuple[str, ...]:
    if reason:
        return (f"Accuracy was not measured: {reason}. The label-free measures need no label.",)
    if wanted is None or possible is None:
        return ()
    left_out = [amount for amount in wanted.per_class if amount not in possible.per_class]
    if not left_out:
        return ()
    amounts = ", ".join(map(str, left_out))
    return (
        f"Not probed with {amounts} labels a class: some class has fewer labelled training images.",
    )
