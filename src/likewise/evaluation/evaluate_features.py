"""Every measure of every encoder, from features that are already there or are extracted once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

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
from likewise.evaluation.statistics.scores import Features, Measurement, require_usable

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
    reason = why_unmeasurable(train.labels, None if test is None else test.labels)
    few_label = (
        settings.few_label.within(train.labels) if settings.few_label and not reason else None
    )
    groups = class_groups(_seen(train), test.labels) if test and not reason else []

    measurements: dict[str, list[Measurement]] = {}
    measures: dict[str, dict[str, float]] = {}
    probes: dict[str, FittedProbe] = {}
    first_vectors: Tensor | None = None
    for name, source in sources.items():
        queries = _features(name, source, "test" if test else "train", test or train)
        first_vectors = queries.vectors if first_vectors is None else first_vectors
        queries = queries._replace(vectors=scored_on(device, queries.vectors))
        measures[name] = label_free(queries.vectors) if settings.label_free else {}
        measurements[name] = []
        if reason or test is None:
            continue
        bank = _features(name, source, "train", train)
        bank = bank._replace(vectors=scored_on(device, bank.vectors))
        if settings.linear:
            probes[name] = settings.linear.fit(bank)
        for measurement in _measured(
            settings, probes.get(name), few_label, groups, bank, queries, train
        ):
            measurements[name].append(
                with_cluster_adjusted_ci(measurement, test.labels, test.groups)
            )
    assert first_vectors is not None
    of_first = next(iter(measurements.values()))
    return Evaluation(
        by_encoder={name: [each.score for each in found] for name, found in measurements.items()},
        differences=differences_to_first(measurements, test.labels, test.groups) if test else [],
        label_free=measures,
        calibration={name: _calibrations(found) for name, found in measurements.items()},
        probes=probes,
        predictions=next(
            (each.predictions for each in of_first if each.score.name == "linear_top1"), None
        ),
        vectors=first_vectors,
        notes=_notes(reason, settings.few_label, few_label),
    )


def _features(name: str, source: FeatureSource, part: Part, targets: Targets) -> Features:
    """An encoder's features of a part, with its labels.

    Raises:
        LikewiseError: they are NaN or infinite.
    """
    found = Features(source(part), targets.labels)
    require_usable(found.vectors, "encoder's" if name == "encoder" else f"{name} encoder's")
    return found


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


def _measured(
    settings: EvaluationSettings,
    probe: FittedProbe | None,
    few_label: FewLabel | None,
    groups: Sequence[ClassGroup],
    bank: Features,
    queries: Features,
    train: Targets,
) -> Iterator[Measurement]:
    on_all_labels = []
    if settings.knn:
        on_all_labels.append(settings.knn.evaluate(bank, queries))
    if probe:
        on_all_labels.append(probe.evaluate(queries))
    yield from on_all_labels
    if settings.linear and train.visible_labels is not None:
        yield from _on_budget(
            settings.linear, Features(bank.vectors, train.visible_labels), queries
        )
    if few_label:
        yield from few_label.evaluate(bank, queries, train.ids)
    for group in groups:
        for measurement in on_all_labels:
            yield class_mean(measurement, queries.labels, group)


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


def _calibrations(found: Sequence[Measurement]) -> dict[str, Calibration]:
    return {each.score.name: each.calibration for each in found if each.calibration}


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
