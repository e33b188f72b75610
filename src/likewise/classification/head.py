"""A linear head on features of a few labelled images, and its predictions of the ones it did not see."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.linear_probe import (
    SEARCHED,
    SINGLE_SPLIT,
    UNSEARCHED_STRENGTH,
    LinearProbe,
    stratified_folds,
)
from likewise.evaluation.metrics.logistic_regression import PrincipalAxes, Standardiser, fit, logits
from likewise.evaluation.metrics.threads import threads_for
from likewise.evaluation.statistics.scores import Features, require_labelled
from likewise.randomness import generator

FOLDS = 5

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

    The strength is the one of `LinearProbe` with the lowest cross-entropy in stratified 5-fold cross-validation; the
    heads of the folds give the out-of-fold logits. A class of m < 5 labels is in m folds. With one label a class
    nothing can be held out: the strength is a stated one, and all out-of-fold logits are NaN.

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
    classes, targets = rows.labels.unique(return_inverse=True)
    if len(classes) < 2:
        raise LikewiseError(
            f"All {len(targets):,} labels are of class {int(classes[0])}; a classifier needs labels of two classes. "
            f"Label images of a second class."
        )
    known = labels != UNLABELLED
    fold_of = _folds(targets, seed, None if groups is None else groups[known])
    with threads_for(rows.vectors.numel() * min(rows.vectors.shape)):
        axes = PrincipalAxes.of(rows.vectors, Standardiser.of(features))
        found = _fit(axes, targets, len(classes), fold_of, seed)
    out_of_fold = torch.full((len(labels), num_classes), torch.nan)
    out_of_fold[known] = _among_all(found.out_of_fold, classes, num_classes)
    protocol = {"labels": len(targets), "folds": int(fold_of.max()) + 1, "strength": found.strength, "seed": seed}
    return FittedHead(_as_linear(axes, found.weights, classes, num_classes), out_of_fold, protocol)


class _Found(NamedTuple):
    weights: Tensor
    """float64 [C, R + 1], of the fit to all rows"""
    strength: float
    out_of_fold: Tensor
    """float32 [N, C], NaN where a row was never held out"""


def _fit(axes: PrincipalAxes, targets: Tensor, classes: int, fold_of: Tensor, seed: int) -> _Found:
    everything = torch.ones(1, len(targets), dtype=torch.bool)
    out_of_fold = torch.full((len(targets), classes), torch.nan)
    folds = int(fold_of.max()) + 1
    if not folds:
        weights = fit(axes, targets, classes, everything, UNSEARCHED_STRENGTH)[0]
        return _Found(weights, UNSEARCHED_STRENGTH, out_of_fold)
    held_out = torch.stack([fold_of == fold for fold in range(folds)])  # [K, N]
    strength, fold_weights = _search(axes, targets, classes, held_out, seed)
    weights = fit(axes, targets, classes, everything, strength, fold_weights.mean(dim=0, keepdim=True))[0]
    judged = logits(fold_weights, axes.coordinates).transpose(1, 2)  # [K, N, C]
    out_of_fold[fold_of >= 0] = judged[fold_of.clamp(min=0), torch.arange(len(targets))][fold_of >= 0]
    return _Found(weights, strength, out_of_fold)


def _search(axes: PrincipalAxes, targets: Tensor, classes: int, held_out: Tensor, seed: int) -> tuple[float, Tensor]:
    """The L2 strength and the weights [K, C, R + 1] of each fold; of many rows only some choose the strength."""
    if len(targets) < SINGLE_SPLIT:
        best = LinearProbe().search(axes, targets, classes, held_out)
        return best.strength, best.weights
    some = torch.randperm(len(targets), generator=generator(seed, "searched"))[:SEARCHED].sort().values
    best = LinearProbe().search(axes.some(some), targets[some], classes, held_out[:1, some])
    start = best.weights.repeat(len(held_out), 1, 1)
    return best.strength, fit(axes, targets, classes, ~held_out, best.strength, start)


def _folds(targets: Tensor, seed: int, groups: Tensor | None) -> Tensor:
    """The fold in which each row is held out, int64 [N]; -1 where no other fold has its class."""
    if groups is None:
        return stratified_folds(targets, seed, FOLDS)
    fold_of, count = torch.zeros_like(targets), min(FOLDS, len(groups.unique()))
    if count > 1:
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        rows = torch.zeros(len(targets), 1).numpy()
        for fold, (_, held) in enumerate(splitter.split(rows, targets.numpy(), groups.numpy())):
            fold_of[torch.from_numpy(held)] = fold
    for label in targets.unique().tolist():
        own = targets == label
        if len(fold_of[own].unique()) == 1:
            fold_of[own] = -1
    return fold_of


def _among_all(few: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """Logits [N, C] of the labelled classes among those of all, [N, K]."""
    among = torch.full((len(few), num_classes), ABSENT)
    among[few.isnan().any(dim=1)] = torch.nan
    among[:, classes] = few.float()
    return among


def _as_linear(axes: PrincipalAxes, weights: Tensor, classes: Tensor, num_classes: int) -> nn.Linear:
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
