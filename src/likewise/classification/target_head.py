"""A linear head for images with several classes or with numbers, and how far off it is on images it did not see."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise.classification.temperature import BOUNDS, PRIOR
from likewise.counts import amount
from likewise.data.columns.targets import TargetColumn
from likewise.errors import LikewiseError

if TYPE_CHECKING:
    from sklearn.model_selection import GroupKFold, KFold

INVERSE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""values of C of logistic regression, of which cross-validation takes the one with the lowest cross-entropy"""

ALPHAS = tuple(float(alpha) for alpha in np.logspace(-1, 6, 15))
"""penalties of ridge regression, of which leave-one-out cross-validation takes the best"""

FOLDS = 5

FEWEST = 10
"""images with known targets below which no head is fitted"""

COVERAGE = 0.9
"""share of new images whose number lies in its interval"""


class FittedTargets(NamedTuple):
    """A head, and its predictions of images that it did not learn from."""

    head: nn.Linear
    """features [B, D] -> logits of T classes, or T numbers, [B, T]; features are standardised inside its weights"""
    out_of_fold: Tensor
    """float64 [N, T]: those of heads that were fitted without the row"""
    protocol: dict[str, Any]


def fit_targets(
    features: Tensor, column: TargetColumn, seed: int = 0, groups: Tensor | None = None
) -> FittedTargets:
    """Logistic regression for each class, or ridge regression, with out-of-fold predictions from 5 folds.

    Args:
        features: float [N, D].
        column: targets of the N images, all known.
        seed: of the folds.
        groups: int64 [N], images that belong together and are in one fold.

    Raises:
        LikewiseError: fewer than 10 images.
    """
    if len(column) < FEWEST:
        raise LikewiseError(
            f"{amount(len(column), 'image')} have known targets; a head needs {FEWEST}. Label more images."
        )
    rows, targets = features.double().numpy(), column.values.astype(np.float64)
    folds = list(
        _splitter(groups, seed).split(rows, groups=None if groups is None else groups.numpy())
    )
    fit = _ridge if column.task == "regression" else _logistic
    return fit(rows, targets, folds)


def _splitter(groups: Tensor | None, seed: int) -> KFold | GroupKFold:
    # scikit-learn takes a second to import, which most commands do without
    from sklearn.model_selection import GroupKFold, KFold

    if groups is None or len(groups.unique()) < 2:
        return KFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    return GroupKFold(min(FOLDS, len(groups.unique())))


Folds = list[tuple[np.ndarray, np.ndarray]]
"""rows to learn from and rows to predict, of each fold"""


def _logistic(rows: np.ndarray, targets: np.ndarray, folds: Folds) -> FittedTargets:
    """One logistic regression a class; all have the strength with the lowest mean cross-entropy."""
    found = {}
    for strength in INVERSE_STRENGTHS:
        logits = _out_of_fold(rows, targets, folds, strength)
        loss = float(
            F.binary_cross_entropy_with_logits(torch.from_numpy(logits), torch.from_numpy(targets))
        )
        found[strength] = loss, logits
    best = min(found, key=lambda strength: found[strength][0])
    weight, bias = _logistic_weights(rows, targets, best)
    protocol = {
        "head": "logistic regression a class",
        "C": best,
        "folds": len(folds),
        "labels": len(rows),
    }
    return FittedTargets(_linear(weight, bias), torch.from_numpy(found[best][1]), protocol)


def _out_of_fold(
    rows: np.ndarray, targets: np.ndarray, folds: Folds, strength: float
) -> np.ndarray:
    logits = np.zeros_like(targets)
    for learned, held_out in folds:
        weight, bias = _logistic_weights(rows[learned], targets[learned], strength)
        logits[held_out] = rows[held_out] @ weight.T + bias
    return logits


def _logistic_weights(
    rows: np.ndarray, targets: np.ndarray, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weights [T, D] and biases [T] on features as they are; a class of all images, or of none, has a bias alone."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(rows)
    standardised = scaler.transform(rows)
    scale = np.asarray(scaler.scale_)
    mean = np.asarray(scaler.mean_)
    weight = np.zeros((targets.shape[1], rows.shape[1]))
    bias = np.zeros(targets.shape[1])
    for number, target in enumerate(targets.T):
        if target.min() == target.max():
            positive = target.sum()
            bias[number] = math.log((positive + 0.5) / (len(target) - positive + 0.5))
            continue
        logistic = LogisticRegression(C=strength, max_iter=300)
        with warnings.catch_warnings():
            # 300 iterations leave nothing that matters
            warnings.simplefilter("ignore", ConvergenceWarning)
            logistic.fit(standardised, target)
        weight[number] = logistic.coef_[0] / scale
        bias[number] = np.ravel(logistic.intercept_)[0] - weight[number] @ mean
    return weight, bias


def _ridge(rows: np.ndarray, targets: np.ndarray, folds: Folds) -> FittedTargets:
    """Ridge regression on standardised features; every fold chooses its own penalty within its rows."""
    predicted = np.zeros_like(targets)
    for learned, held_out in folds:
        weight, bias, _ = _ridge_weights(rows[learned], targets[learned])
        predicted[held_out] = rows[held_out] @ weight.T + bias
    weight, bias, alpha = _ridge_weights(rows, targets)
    protocol = {
        "head": "ridge regression",
        "alpha": alpha,
        "folds": len(folds),
        "labels": len(rows),
    }
    return FittedTargets(_linear(weight, bias), torch.from_numpy(predicted), protocol)


def _ridge_weights(rows: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(rows)
    ridge = RidgeCV(ALPHAS).fit(scaler.transform(rows), targets)
    scale, mean = np.asarray(scaler.scale_), np.asarray(scaler.mean_)
    weight = np.reshape(np.asarray(ridge.coef_), (targets.shape[1], -1)) / scale
    bias = np.ravel(ridge.intercept_) - weight @ mean
    return weight, bias, float(np.asarray(ridge.alpha_))


def _linear(weight: np.ndarray, bias: np.ndarray) -> nn.Linear:
    head = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    return head.eval().requires_grad_(False)


def sigmoid_temperature(logits: Tensor, targets: Tensor) -> float:
    """The temperature of all classes' logits with the least cross-entropy, as `fit_temperature` has it for one class.

    Args:
        logits: float [N, T], of images that the head did not learn from.
        targets: float [N, T], 0 or 1.

    Returns:
        A temperature in [0.05, 20]; 1 of no rows.
    """
    from scipy.optimize import minimize_scalar

    if not len(logits):
        return 1.0

    def negative_log_posterior(log_temperature: float) -> float:
        scaled = logits.double() / math.exp(log_temperature)
        surprise = F.binary_cross_entropy_with_logits(scaled, targets.double(), reduction="sum")
        penalty = log_temperature**2 / (2 * PRIOR**2)
        return float(surprise) / logits.shape[1] + penalty

    low, high = BOUNDS
    found: Any = minimize_scalar(
        negative_log_posterior, bounds=(math.log(low), math.log(high)), method="bounded"
    )
    return math.exp(float(found.x))


def interval_half_width(predicted: Tensor, targets: Tensor) -> Tensor:
    """How far a number may lie from its prediction in 90 % of new images, float64 [T]; infinite with too few images.

    The ceil((N + 1) * 0.9)-th smallest error of images that were held out (split conformal prediction, Lei et al. 2018,
    Sec. 2.2, https://arxiv.org/abs/1604.04173), or that other folds' heads predicted.

    Args:
        predicted: float [N, T], of images that the head did not learn from.
        targets: float [N, T].
    """
    rank = math.ceil((len(predicted) + 1) * COVERAGE)
    if rank > len(predicted):
        return torch.full((targets.shape[1],), math.inf, dtype=torch.float64)
    errors = (predicted.double() - targets.double()).abs()
    return errors.sort(dim=0).values[rank - 1]
