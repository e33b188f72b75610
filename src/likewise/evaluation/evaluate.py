"""Every score of every encoder, side by side."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.features import PlainView, ReadsPixels, extract
from likewise.evaluation.metrics.calibration import Calibration
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.label_free import label_free
from likewise.evaluation.metrics.linear_probe import FittedProbe, LinearProbe
from likewise.evaluation.statistics.class_groups import ClassGroup, class_groups, class_mean
from likewise.evaluation.statistics.confidence import (
    Interval,
    class_mean_difference,
    crossed_difference,
    paired_difference,
)
from likewise.evaluation.statistics.design_effect import (
    asked_about,
    design_effect,
    influence_on_mean,
    widened,
    with_cluster_adjusted_ci,
)
from likewise.evaluation.statistics.scores import Features, Measurement, Score, require_usable


@dataclass(frozen=True)
class Examples:
    """Images to be evaluated on."""

    images: ReadsPixels
    """where the pixels are"""
    index: Tensor
    """int64 [N], positions in ``images``"""
    labels: Tensor
    """int64 [N], the label of each position, UNLABELLED where there is none"""
    ids: Sequence[str]
    """N stable ids, by which few labels are drawn"""
    shown: Tensor | None = None
    """int64 [N], the labels that training was shown, where those are fewer: what they alone buy is then asked too"""
    seen: Tensor | None = None
    """bool [N], which of these images training saw, where it did not see them all: by those, classes are rare or not"""
    groups: Tensor | None = None
    """int64 [N], which images belong together, where that is known: intervals over test images are then wider"""


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured and how."""

    knn: Knn = field(default_factory=Knn)
    """nearest neighbours"""
    linear: LinearProbe = field(default_factory=LinearProbe)
    """the probe on all labels"""
    few: FewLabel | None = field(default_factory=FewLabel)
    """the probe on few labels; None leaves it out"""
    batch_size: int = 512
    """images encoded at a time"""


class ScoreDifference(NamedTuple):
    """By how much the first encoder beats another one, on the same images and the same draws."""

    name: str
    """which score"""
    over: str
    """the other encoder"""
    value: float
    """difference of the scores, above 0 where the first is better"""
    low: float
    """lower end of the 95 % interval of the difference"""
    high: float
    """upper end"""


@dataclass(frozen=True)
class Evaluation:
    """Scores of several encoders; the first encoder is the one in question, the others are its baselines."""

    scores: dict[str, list[Score]]
    """by encoder; empty lists where accuracy could not be measured"""
    gains: list[ScoreDifference]
    """the first encoder against each of the others, score by score"""
    label_free: dict[str, dict[str, float]]
    """by encoder: effective rank, spread, uniformity, over the test images (the training images without any)"""
    calibration: dict[str, dict[str, Calibration]]
    """by encoder, by the score whose classifier it is about"""
    probes: dict[str, FittedProbe]
    """by encoder: the linear probe on all labels, where there is one"""
    predictions: Tensor | None
    """int64 [N]: the first encoder's linear probe on the test images"""
    vectors: Tensor
    """float32 [N, D]: the first encoder's features of the test images (of the training images without any)"""
    notes: tuple[str, ...]
    """what could not be measured, and why"""

    def to_json(self) -> dict[str, Any]:
        """What ``scores.json`` holds: a list of scores under each encoder's name, and the rest beside."""
        return {
            **{who: [score.to_json() for score in scores] for who, scores in self.scores.items()},
            "gains": [gain._asdict() for gain in self.gains],
            "label_free": {
                who: {name: None if math.isnan(value) else value for name, value in measures.items()}
                for who, measures in self.label_free.items()
            },
            "calibration": {
                who: {name: each.to_json() for name, each in found.items()} for who, found in self.calibration.items()
            },
            "notes": list(self.notes),
        }


def evaluate(
    encoders: Mapping[str, nn.Module],
    train: Examples,
    test: Examples | None,
    view: PlainView,
    settings: EvaluationSettings | None = None,
    device: torch.device | str | None = None,
    autocast: torch.dtype | None = None,
) -> Evaluation:
    """Extract features once per encoder, then ask every measure.

    Without labelled test images, or with fewer than two classes among the training labels, only the label-free
    measures are given, and a note says why.

    Args:
        encoders: by name, the one in question first: trained, untrained, start.
        train: images to learn from; their labels are those that the probes may see.
        test: images to be measured on, or None.
        view: what an encoder is shown of an image.
        settings: what is measured; None takes the defaults.
        device: where to compute; None leaves each encoder where it is.
        autocast: precision of the forward pass, for instance ``torch.bfloat16``.

    Raises:
        LikewiseError: there is no encoder, or one gives NaN or infinite features.
    """
    if not encoders:
        raise LikewiseError("evaluate() was given no encoder; give at least one by name, such as {'trained': encoder}.")
    settings = settings or EvaluationSettings()
    reason = _why_unmeasurable(train.labels, None if test is None else test.labels)
    few = settings.few.within(train.labels) if settings.few and not reason else None
    groups = class_groups(_seen(train), test.labels) if test and not reason else []

    def features(encoder: nn.Module, part: Examples) -> Features:
        vectors = extract(encoder, part.images, part.index, view, settings.batch_size, device, autocast)
        return Features(vectors, part.labels)

    outcomes: dict[str, list[Measurement]] = {}
    measures: dict[str, dict[str, float]] = {}
    vectors: dict[str, Tensor] = {}
    probes: dict[str, FittedProbe] = {}
    for who, encoder in encoders.items():
        queries = features(encoder, test or train)
        require_usable(queries.vectors, f"{who} encoder's")
        vectors[who], measures[who], outcomes[who] = queries.vectors, label_free(queries.vectors), []
        if not reason:
            bank = features(encoder, train)
            require_usable(bank.vectors, f"{who} encoder's")
            probes[who] = settings.linear.fit(bank)
            found = _outcomes(settings, probes[who], few, groups, bank, queries, train)
            outcomes[who] = [
                with_cluster_adjusted_ci(outcome, queries.labels, test.groups if test else None) for outcome in found
            ]
    first, *others = outcomes
    return Evaluation(
        {who: [outcome.score for outcome in found] for who, found in outcomes.items()},
        [gain for other in others if test for gain in _gains(outcomes[first], other, outcomes[other], test)],
        measures,
        {who: {e.score.name: e.calibration for e in found if e.calibration} for who, found in outcomes.items()},
        probes,
        next((each.predictions for each in outcomes[first] if each.score.name == "linear_top1"), None),
        vectors[first],
        _notes(reason, settings.few, few),
    )


def _why_unmeasurable(train: Tensor, test: Tensor | None) -> str | None:
    """Why accuracy cannot be measured with these labels; None where it can."""
    if test is None or not bool((test != UNLABELLED).any()):
        return "there are no labelled test images"
    classes = train[train != UNLABELLED].unique()
    if len(classes) < 2:
        return "no training image has a label" if not len(classes) else "all training labels are of one class"
    return None


def _seen(train: Examples) -> Tensor:
    """Labels of the images that training saw."""
    return train.labels if train.seen is None else train.labels[train.seen]


def _outcomes(
    settings: EvaluationSettings,
    probe: FittedProbe,
    few: FewLabel | None,
    groups: Sequence[ClassGroup],
    bank: Features,
    queries: Features,
    train: Examples,
) -> Iterator[Measurement]:
    everything = settings.knn.evaluate(bank, queries), probe.evaluate(queries)
    yield from everything
    if train.shown is not None and len(train.shown[train.shown != UNLABELLED].unique()) > 1:
        outcome = settings.linear.evaluate(Features(bank.vectors, train.shown), queries)
        yield outcome._replace(score=replace(outcome.score, name="linear_on_budget_top1"))
    if few:
        yield from few.evaluate(bank, queries, train.ids)
    for group in groups:
        yield from (class_mean(outcome, queries.labels, group) for outcome in everything)


def _gains(mine: list[Measurement], other: str, theirs: list[Measurement], test: Examples) -> Iterator[ScoreDifference]:
    """Paired differences; averages over draws are told by their predictions, [draws, N]."""
    for ours, its in zip(mine, theirs, strict=True):
        yield ScoreDifference(ours.score.name, other, *_difference(ours, its, test.labels, test.groups))


def _difference(ours: Measurement, its: Measurement, labels: Tensor, groups: Tensor | None) -> Interval:
    asked = asked_about(ours, labels)
    right, rival = (answers[..., asked] == labels[asked] for answers in (ours.predictions, its.predictions))
    if ours.classes is not None:
        found = class_mean_difference(right, rival, labels[asked])
    else:
        found = paired_difference(right, rival) if right.ndim == 1 else crossed_difference(right, rival)
    if groups is None:
        return found
    influence = influence_on_mean(right.double() - rival.double(), labels[asked], ours.classes)
    return widened(found, design_effect(influence, groups[asked]), -1.0)


def _notes(reason: str | None, asked: FewLabel | None, paid: FewLabel | None) -> tuple[str, ...]:
    if reason:
        return (f"Accuracy was not measured: {reason}. The label-free measures need no label.",)
    left_out = [amount for amount in asked.per_class if paid and amount not in paid.per_class] if asked else []
    if left_out:
        amounts = ", ".join(map(str, left_out))
        return (f"Not probed with {amounts} labels a class: some class has fewer labelled training images.",)
    return ()
