"""Intervals over test images that belong together in groups: wider, for images of one film tell less than of many.

The variance of a mean is taken between groups and compared with what it would be were all images independent (the
design effect: Kish 1965, Survey Sampling, Sec. 5.4); the half-widths of an interval grow by its root. With few groups
the estimate itself is rough: some ten or more are wanted.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.evaluation.statistics.confidence import Interval, by_class
from likewise.evaluation.statistics.scores import Measurement


def design_effect(influence: Tensor, groups: Tensor) -> float:
    """By how much the variance of a mean is multiplied by the images' coming in groups; 1 at least.

    Args:
        influence: float64 [N], how far each image moves the mean; they add up to 0.
        groups: int64 [N], the group of each.

    Returns:
        Where nothing varies, or there is one group alone, what it would be if a group's images were one image.
    """
    sizes = torch.bincount(groups).double()
    there = int((sizes > 0).sum())
    alone = float(influence.square().sum())
    if there < 2 or alone == 0:
        return max(float(sizes.square().sum() / sizes.sum()), 1.0)
    together = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, groups, influence)
    return max(float(together.square().sum()) / alone * there / (there - 1), 1.0)


def influence_on_mean(values: Tensor, labels: Tensor | None = None) -> Tensor:
    """How far each image moves a mean over images, or a mean over classes.

    Args:
        values: float64 [..., N], whether each was right, or by how much more one encoder was.
        labels: int64 [N], where the score is a mean over classes; None: a mean over images.

    Returns:
        float64 [N]; draws of labels are averaged.
    """
    each = values.reshape(-1, values.shape[-1]).mean(dim=0)  # [N]
    classes = by_class(each, labels)
    means = classes.sums / classes.counts  # [C]
    return (each - means[classes.positions]) / classes.counts[classes.positions] / len(classes.counts)


def widened(interval: Interval, effect: float, lowest: float) -> Interval:
    """An interval whose half-widths are those of so much more variance, within ``lowest`` and 1."""
    by = math.sqrt(effect)
    low, high = (interval.value + (end - interval.value) * by for end in (interval.low, interval.high))
    return Interval(interval.value, max(low, lowest), min(high, 1.0))


def with_cluster_adjusted_ci(outcome: Measurement, labels: Tensor, groups: Tensor | None) -> Measurement:
    """The outcome with an interval that knows of groups, which its protocol then says.

    Args:
        outcome: a score with its answers; one without answers stays as it is.
        labels: int64 [N], of the test images.
        groups: int64 [N]; None: nothing is known, and the outcome stays as it is.
    """
    if groups is None or outcome.predictions.shape[-1] != len(labels):
        return outcome
    counted = counted_rows(outcome, labels)
    right = (outcome.predictions[..., counted] == labels[counted]).double()
    classes = labels[counted] if outcome.classes is not None else None
    effect = design_effect(influence_on_mean(right, classes), groups[counted])
    score = outcome.score
    _, low, high = widened(Interval(score.value, score.low, score.high), effect, 0.0)
    added = {"groups": len(groups[counted].unique()), "design_effect": round(effect, 2)}
    return outcome._replace(score=replace(score, low=low, high=high, protocol={**score.protocol, **added}))


def counted_rows(outcome: Measurement, labels: Tensor) -> Tensor:
    """Bool [N]: the test images that a score is taken over."""
    return labels != UNLABELLED if outcome.classes is None else torch.isin(labels, outcome.classes)
