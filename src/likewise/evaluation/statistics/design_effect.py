"""Intervals over test images in groups (of one film or patient), which are wider than those of independent images.

The design effect (Kish 1965, Survey Sampling, Sec. 5.4) is the variance of a mean between groups over its variance with
independent images; the half-widths of an interval grow by its square root. With fewer than about ten groups the
estimate is rough.
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
    """The factor by which groups multiply the variance of a mean; at least 1.

    Args:
        influence: float64 [N], each image's influence on the mean; they add up to 0.
        groups: int64 [N], the group of each.

    Returns:
        Where nothing varies, or there is only one group, the factor as if each group were one image.
    """
    sizes = torch.bincount(groups).double()
    count = int((sizes > 0).sum())
    independent = float(influence.square().sum())
    if count < 2 or independent == 0:
        return max(float(sizes.square().sum() / sizes.sum()), 1.0)
    by_group = torch.zeros(len(sizes), dtype=torch.float64).index_add_(0, groups, influence)
    between_groups = float(by_group.square().sum())
    return max(between_groups / independent * count / (count - 1), 1.0)


def influence_on_mean(values: Tensor, labels: Tensor | None = None) -> Tensor:
    """Each image's influence on a mean over images, or on a mean over classes.

    Args:
        values: float64 [..., N], whether each image was right, or the difference of two encoders.
        labels: int64 [N], where the score is a mean over classes; None: a mean over images.

    Returns:
        float64 [N]; draws of labels are averaged.
    """
    each = values.reshape(-1, values.shape[-1]).mean(dim=0)  # [N]
    classes = by_class(each, labels)
    means = classes.sums / classes.counts  # [C]
    of_own_class = classes.positions
    deviation = each - means[of_own_class]  # [N]
    return deviation / classes.counts[of_own_class] / len(classes.counts)


def widened(interval: Interval, effect: float, lowest: float) -> Interval:
    """The interval for ``effect`` times the variance, within ``lowest`` and 1."""
    factor = math.sqrt(effect)
    low = interval.value + (interval.low - interval.value) * factor
    high = interval.value + (interval.high - interval.value) * factor
    return Interval(interval.value, max(low, lowest), min(high, 1.0))


def with_cluster_adjusted_ci(
    measurement: Measurement, labels: Tensor, groups: Tensor | None
) -> Measurement:
    """The measurement with an interval widened for groups, which its protocol states.

    Args:
        measurement: a score with its predictions; one without predictions is returned unchanged.
        labels: int64 [N], of the test images.
        groups: int64 [N]; None: unknown, and the measurement is returned unchanged.
    """
    if groups is None or measurement.predictions.shape[-1] != len(labels):
        return measurement
    counted = counted_rows(measurement, labels)
    right = (measurement.predictions[..., counted] == labels[counted]).double()
    classes = labels[counted] if measurement.classes is not None else None
    effect = design_effect(influence_on_mean(right, classes), groups[counted])
    score = measurement.score
    _, low, high = widened(Interval(score.value, score.low, score.high), effect, 0.0)
    protocol = {
        **score.protocol,
        "groups": len(groups[counted].unique()),
        "design_effect": round(effect, 2),
    }
    return measurement._replace(score=replace(score, low=low, high=high, protocol=protocol))


def counted_rows(measurement: Measurement, labels: Tensor) -> Tensor:
    """Bool [N]: the test images that a score counts."""
    return (
        labels != UNLABELLED
        if measurement.classes is None
        else torch.isin(labels, measurement.classes)
    )
