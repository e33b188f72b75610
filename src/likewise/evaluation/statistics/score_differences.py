"""Paired differences of encoders on the same test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from likewise.evaluation.statistics.confidence import (
    Interval,
    crossed_difference,
    paired_difference,
)
from likewise.evaluation.statistics.design_effect import (
    counted_rows,
    design_effect,
    influence_on_mean,
    widened,
)
from likewise.evaluation.statistics.scores import Measurement, ScoreDifference


def differences_to_first(
    measurements: Mapping[str, Sequence[Measurement]],
    labels: Tensor,
    groups: Tensor | None,
) -> list[ScoreDifference]:
    """Paired differences of the first encoder's scores to each other encoder's, score by score.

    Args:
        measurements: by encoder, the same scores in the same order.
        labels: int64 [N], of the test images.
        groups: int64 [N], which images belong together; None: unknown.
    """
    first, *others = measurements
    differences: list[ScoreDifference] = []
    for name in others:
        for one, other in zip(measurements[first], measurements[name], strict=True):
            interval = _difference(one, other, labels, groups)
            differences.append(ScoreDifference(one.score.name, name, *interval))
    return differences


def _difference(
    first: Measurement, second: Measurement, labels: Tensor, groups: Tensor | None
) -> Interval:
    """The first score minus the second; predictions are [N], or [repeats, N] of averages over draws of labels."""
    counted = counted_rows(first, labels)
    right = first.predictions[..., counted] == labels[counted]
    rival = second.predictions[..., counted] == labels[counted]
    classes = labels[counted] if first.classes is not None else None
    found = (
        paired_difference(right, rival, classes)
        if right.ndim == 1
        else crossed_difference(right, rival)
    )
    if groups is None:
        return found
    influence = influence_on_mean(right.double() - rival.double(), classes)
    return widened(found, design_effect(influence, groups[counted]), -1.0)
