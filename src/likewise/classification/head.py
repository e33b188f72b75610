"""A linear head on features of a few labelled images, and its predictions of the ones it did not see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.linear_probe import (
    SEARCHED,
    SINGLE_SPLIT,
    UNSEARCHED_STRENGTH,
    LinearProbe,
    grouped_folds,
    stratified_folds,
)
from likewise.evaluation.metrics.logistic_regression import PrincipalAxes, Standardiser, fit, logits
from likewise.evaluation.metrics.threads import threads_for
from likewise.evaluation.statistics.scores import Features, require_labelled
from likewise.randomness import generator

FOLDS, FOLDS_OF_MANY = 10, 5
"""folds of cross-validation, and those where there are `MANY` labels or more"""

MANY = 1000

REPEATS, FEW = 4, 300
"""how often cross-validation is repeated with other folds where there are `FEW` labels or fewer"""

SHARED_ROWS = 100
"""how many labels a feature's own scale must come from to weigh as much as the scale that all features share"""

ABSENT = -1e4
"""the logit of a class that no row is labelled with, which is never predicted"""


class FittedHead(NamedTuple):
    """A head, and what heads fitted without a row say about that row."""

    head: nn.Linear
    """features [B, D] -> logits [B, K]; features are standardised inside its weights"""
    out_of_fold_logits: Tensor
    """float32 [N, K]; NaN in the rows that were never held out: unlabelled ones, and those whose class has no row in
    another fold"""
    protocol: dict[str, Any]
    """labels, folds, the L2 strength"""


def fit_head(
    features: Tensor, labels: Tensor, num_classes: int, seed: int = 0, groups: Tensor | None = None
) -> FittedHead:
    """Multinomial logistic regression with an L2 penalty, and its out-of-fold logits.

    The strength is the one of `LinearProbe` with the lowest cross-entropy in stratified cross-validation: 10 folds, of
    1,000 labels 5; of up to 300 labels four times with other folds, and then a row's out-of-fold logits are the mean
    over the four. A class of m < 10 labels is in m folds. With one label a class nothing can be held out: the strength
    is a stated one, and all out-of-fold logits are NaN.

    Two things make few labels work (``benchmarks/predict_calibration.py`` measures both). Each feature is divided by a
    scale between its own standard deviation and the one that all features share, for standard deviations of twenty
    rows are mostly noise: as in regularised discriminant analysis (Friedman 1989, Sec. 3,
    https://doi.org/10.1080/01621459.1989.10478752). And the head that was fitted to all rows, whose weights are larger
    than those of the folds' heads, is scaled to their norm. That changes no prediction, and makes a temperature that
    was fitted on out-of-fold logits the right one for it.

    Args:
        features: float [N, D]; rows without a label are used to standardise alone.
        labels: int64 [N] in 0..K-1, -1 where there is none.
        num_classes: K; a class that no row is labelled with gets a logit of -10,000.
        seed: of the folds.
        groups: int64 [N], which rows belong together; those of one group are in one fold.

    Raises:
        LikewiseError: no label, labels of one class only, or NaN or infinite features.
    """
    rows = require_labelled(Features(features, labels), "training")
    classes, targets = require_two_classes(rows.labels)
    known = labels != UNLABELLED
    folds = _repeated_folds(targets, seed, None if groups is None else groups[known])
    axes = PrincipalAxes.of(rows.vectors, _shared_scale(Standardiser.of(features), len(targets)))
    fits = sum(int(fold_of.max()) + 1 for fold_of in folds)
    with threads_for(axes.coordinates.numel() * len(classes) * max(fits, 1)):
        found = _fit(axes, targets, len(classes), folds, seed)
    out_of_fold = torch.full((len(labels), num_classes), torch.nan)
    out_of_fold[known] = _over_all_classes(found.out_of_fold, classes, num_classes)
    protocol = {
        "labels": len(targets),
        "folds": int(folds[0].max()) + 1,
        "repeats": len(folds),
        "strength": found.strength,
        "seed": seed,
    }
    return FittedHead(_as_linear(axes, found.weights, classes, num_classes), out_of_fold, protocol)


def require_two_classes(labels: Tensor) -> tuple[Tensor, Tensor]:
    """The C classes that have a label, and the position of each label among them, int64 [N].

    Raises:
        LikewiseError: there is one class only.
    """
    classes, targets = labels.unique(return_inverse=True)
    if len(classes) < 2:
        raise LikewiseError(
            f"All {amount(len(targets), 'label')} are of class {int(classes[0])}; a classifier needs labels of two "
            f"classes. Label images of a second class."
        )
    return classes, targets


def _shared_scale(standardise: Standardiser, labels: int) -> Standardiser:
    """Each feature's variance drawn towards the mean of all, the more the fewer labels there are."""
    own = standardise.scale.square()
    scale = ((labels * own + SHARED_ROWS * own.mean()) / (labels + SHARED_ROWS)).sqrt()
    return replace(standardise, scale=scale)


class _Found(NamedTuple):
    weights: Tensor
    """float64 [C, R + 1], of the fit to all rows, at the norm of the folds' fits"""
    strength: float
    out_of_fold: Tensor
    """float32 [N, C], NaN where a row was never held out"""


def _fit(
    axes: PrincipalAxes, targets: Tensor, classes: int, folds: list[Tensor], seed: int
) -> _Found:
    everything = torch.ones(1, len(targets), dtype=torch.bool)
    held_out = [fold_of == fold for fold_of in folds for fold in range(int(fold_of.max()) + 1)]
    if not held_out:
        weights = fit(axes, targets, classes, everything, UNSEARCHED_STRENGTH)[0]
        return _Found(weights, UNSEARCHED_STRENGTH, torch.full((len(targets), classes), torch.nan))
    # [K, C, R + 1]
    strength, of_folds = _search(axes, targets, classes, torch.stack(held_out), seed)
    weights = fit(axes, targets, classes, everything, strength, of_folds.mean(dim=0, keepdim=True))
    judged = logits(of_folds, axes.coordinates).transpose(1, 2)  # [K, N, C]
    judged[~torch.stack(held_out)] = torch.nan
    # A mean of several heads has a smaller norm than each of them, so it is its norm that counts.
    averaged = of_folds
    if len(of_folds) % len(folds) == 0:
        averaged = of_folds.unflatten(0, (len(folds), -1)).mean(dim=0)
    of_a_fold = _norms(averaged).square().mean().sqrt()
    scale = of_a_fold / _norms(weights).clamp(min=1e-12)
    return _Found((weights * scale)[0], strength, judged.nanmean(dim=0))


def _norms(weights: Tensor) -> Tensor:
    """Float64 [K]: the norm of each fit's weights [K, C, R + 1], without the bias and what all classes share."""
    weights = weights[..., :-1]
    return (weights - weights.mean(dim=1, keepdim=True)).flatten(1).norm(dim=1)


def _search(
    axes: PrincipalAxes, targets: Tensor, classes: int, held_out: Tensor, seed: int
) -> tuple[float, Tensor]:
    """The L2 strength and the weights [K, C, R + 1] of each fold; of many rows only some choose the strength."""
    if len(targets) < SINGLE_SPLIT:
        best = LinearProbe().search(axes, targets, classes, held_out)
        return best.strength, best.weights
    order = torch.randperm(len(targets), generator=generator(seed, "searched"))
    some = order[:SEARCHED].sort().values
    best = LinearProbe().search(axes.some(some), targets[some], classes, held_out[:1, some])
    start = best.weights.repeat(len(held_out), 1, 1)
    return best.strength, fit(axes, targets, classes, ~held_out, best.strength, start)


def _repeated_folds(targets: Tensor, seed: int, groups: Tensor | None) -> list[Tensor]:
    """The fold in which each row is held out, int64 [N], for each repetition; -1 where no other fold has its class."""
    repeats = REPEATS if len(targets) <= FEW else 1
    count = FOLDS if len(targets) < MANY else FOLDS_OF_MANY
    # As all random numbers' keys, of 32 bits.
    seeds = [(seed * REPEATS + repeat) % 2**32 for repeat in range(repeats)]
    if groups is None:
        return [stratified_folds(targets, each, count) for each in seeds]
    return [_group_folds(targets, each, count, groups) for each in seeds]


def _group_folds(targets: Tensor, seed: int, count: int, groups: Tensor) -> Tensor:
    fold_of = grouped_folds(targets, groups, seed, count)
    for label in targets.unique().tolist():
        own = targets == label
        if len(fold_of[own].unique()) == 1:
            fold_of[own] = -1
    return fold_of


def _over_all_classes(few: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Logits [N, C] of the labelled classes -> logits [N, K] of all classes."""
    logits = torch.full((len(few), num_classes), ABSENT)
    logits[few.isnan().any(dim=1)] = torch.nan
    logits[:, classes] = few.float()
    return logits


def _as_linear(
    axes: PrincipalAxes, weights: Tensor, classes: Tensor, num_classes: int
) -> nn.Linear:
    """The fit as one layer on features that are not standardised."""
    standardise = axes.standardise
    weight = weights[:, :-1] @ axes.directions.T.double() / standardise.scale.double()  # [C, D]
    bias = weights[:, -1] - weight @ standardise.mean.double()
    head = nn.Linear(weight.shape[1], num_classes)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(ABSENT)
        head.weight[classes] = weight.float()
        # Softmax does not change with a number added to all; without one of them float32 keeps more of each bias.
        head.bias[classes] = (bias - bias.mean()).float()
    return head.eval().requires_grad_(False)
