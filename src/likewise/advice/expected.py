"""What accuracy may be expected of the winner on new images, and how sure that is.

Cross-validated accuracy misleads in four ways, each of which is accounted for here:

* the best of several arms is partly the luckiest: `expected_accuracy` repeats the choice on bootstrap samples and
  scores what was chosen on the images outside them (BBC-CV, Tsamardinos et al. 2018, Sec. 3,
  https://doi.org/10.1007/s10994-018-5714-4);
* a class with one label is never held out, and is learned worst: `ALONE`;
* the classifiers of the folds learn from fewer labels than the final one: `from_fewer_labels`;
* answers of folds are correlated, so an interval of independent answers is too narrow (Bates, Hastie & Tibshirani 2021,
  Sec. 1, https://arxiv.org/abs/2104.00673): `INFLATION`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.evaluation.statistics.confidence import Interval, paired_difference, wilson
from likewise.evaluation.statistics.design_effect import design_effect, influence_on_mean, widened
from likewise.randomness import generator

RESAMPLES = 500
"""bootstrap samples of the labelled images"""

INFLATION = 1.5
"""of the variance of a cross-validated accuracy over that of as many independent answers; benchmarks/advise_coverage.py
says how it was chosen"""

EXPONENT, EXPONENT_SD = 0.2, 0.1
"""errors fall as labels ** -EXPONENT, with its spread over data sets; measured by benchmarks/advise_coverage.py"""


ALONE = 0.5
"""accuracy on a class with one label, or one group with labels, over that on the others: 0.05 to 0.9, 0.4 in the mean
of eight cells of 20 and 50 labels of five sets"""


class Answers(NamedTuple):
    """Predictions of A arms, the simplest first, for L held-out images."""

    correct: Tensor
    """bool [L, A], whether the likeliest class was the label"""
    scores: Tensor
    """float64 [L, A], the log probability of the label at the arm's best temperature, and the arm's prior spread over
    the images: what arms are chosen by. It counts by how much an answer was right or wrong, so with few labels it tells
    arms apart that are right equally often (benchmarks/advise_coverage.py measures what a choice by accuracy loses)"""

    @property
    def best(self) -> int:
        """The arm to choose."""
        return int(choose(self.scores.mean(dim=0)))


def choose(scores: Tensor) -> Tensor:
    """The arm with the highest mean score, float [..., A] -> int64 [...]; the simplest of equals."""
    best = scores.max(dim=-1, keepdim=True).values
    return (scores >= best - 1e-9).int().argmax(dim=-1)


def expected_accuracy(
    answers: Answers, folds: int, groups: Tensor | None = None, seed: int = 0, held_out: float = 1.0
) -> Interval:
    """Accuracy on new images of the arm that `choose` takes, fitted to all labels, with its 95 % interval.

    Args:
        answers: of all arms to choose from.
        folds: of the cross-validation.
        groups: int64 [L], images that belong together and are drawn together; None: each is by itself.
        seed: of the bootstrap samples.
        held_out: share of the labelled images that were held out; the others are of classes with one label.
    """
    chosen = after_choice(answers, groups, seed)
    winner = answers.correct[:, answers.best].double()
    return interval_of(chosen, len(winner) / _design_effect(winner, groups), folds, held_out)


def arm_accuracy(
    correct: Tensor, folds: int, groups: Tensor | None = None, held_out: float = 1.0
) -> Interval:
    """Accuracy on new images of one arm that is not chosen by it: bool [L] -> its estimate with a 95 % interval."""
    share = float(correct.double().mean())
    return interval_of(
        share, len(correct) / _design_effect(correct.double(), groups), folds, held_out
    )


def after_choice(answers: Answers, groups: Tensor | None = None, seed: int = 0) -> float:
    """BBC-CV: mean accuracy of the arm chosen on a bootstrap sample, over the images outside the sample."""
    correct = answers.correct.double()
    plain = float(correct[:, answers.best].mean())
    if correct.shape[1] == 1:
        return plain  # nothing is chosen
    weights = _resampled(len(correct), groups, seed)  # [B, L]
    outside = (weights == 0).double()
    counts = outside.sum(dim=1)
    usable = counts > 0
    winners = choose(weights @ answers.scores / weights.sum(dim=1, keepdim=True))  # [B]
    if not bool(usable.any()):
        return plain
    right = (outside @ correct).gather(1, winners[:, None])[:, 0]
    shares = right[usable] / counts[usable]
    return float(shares.mean())


def _resampled(images: int, groups: Tensor | None, seed: int) -> Tensor:
    """How often each image is in each bootstrap sample of images, or of groups: float64 [B, L]."""
    units = torch.arange(images) if groups is None else groups.unique(return_inverse=True)[1]
    count = int(units.max()) + 1
    drawn = torch.randint(count, (RESAMPLES, count), generator=generator(seed, "choice"))
    weights = torch.zeros(RESAMPLES, count, dtype=torch.float64)
    weights.scatter_add_(1, drawn, torch.ones_like(drawn).double())
    return weights[:, units]


def from_fewer_labels(share: float, folds: int) -> tuple[float, float]:
    """The accuracy with all labels, from that with the labels of all folds but one; and its standard deviation.

    Errors fall with the number of labels as a power of it (Hestness et al. 2017, Sec. 4, https://arxiv.org/abs/1712.00409).
    """
    seen = (folds - 1) / folds
    errors = [(1 - share) * seen**exponent for exponent in _exponents()]
    return 1 - errors[1], (errors[0] - errors[2]) / 2


def _exponents() -> tuple[float, float, float]:
    return EXPONENT - EXPONENT_SD, EXPONENT, EXPONENT + EXPONENT_SD


def interval_of(share: float, images: float, folds: int, held_out: float = 1.0) -> Interval:
    """A cross-validated accuracy of so many independent images as an expectation with its interval."""
    measured, deviation = from_fewer_labels(share, folds)
    _, low, high = wilson(measured, images / INFLATION)
    # As if the images that were not held out were right as often.
    unmeasured = (1 - held_out) * measured
    expected = measured - (1 - ALONE) * unmeasured
    # None of them right, or as many as of the others.
    extra = math.hypot(1.96 * deviation, ALONE * unmeasured)
    down, up = math.hypot(measured - low, extra), math.hypot(high - measured, extra)
    return Interval(expected, max(expected - down, 0.0), min(expected + up, 1.0))


def difference(first: Tensor, second: Tensor, groups: Tensor | None = None) -> Interval:
    """Accuracy of one arm minus that of another on the same held-out images, bool [L] each."""
    found = paired_difference(first, second)
    effect = _design_effect(first.double() - second.double(), groups)
    return widened(found, effect * INFLATION, -1.0)


def difference_of_best(
    first: Answers, second: Answers, groups: Tensor | None = None, seed: int = 0
) -> Interval:
    """Accuracy of the best of some arms minus that of the best of others on the same images.

    The estimate is that of arms chosen on other images (BBC-CV), so that a kind of many arms gains nothing by luck; the
    width is that of the difference between the two that are best on all images.
    """
    best = [arms.correct[:, arms.best] for arms in (first, second)]
    found = difference(best[0], best[1], groups)
    value = after_choice(first, groups, seed) - after_choice(second, groups, seed)
    shift = value - found.value
    low, high = found.low + shift, found.high + shift
    return Interval(value, max(low, -1.0), min(high, 1.0))


def _design_effect(values: Tensor, groups: Tensor | None) -> float:
    """The factor by which groups multiply the variance of a mean."""
    if groups is None:
        return 1.0
    return design_effect(influence_on_mean(values), groups.unique(return_inverse=True)[1])
