"""Multinomial logistic regression with an L2 penalty, fast enough to be asked for hundreds of times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.evaluation.metrics.threads import threads_for

CHUNK = 8192
"""rows standardised at a time, so that no second copy of the features is held"""


@dataclass(frozen=True)
class Standardiser:
    """Zero mean and unit variance per feature, by the statistics of training images (labels play no part)."""

    mean: Tensor
    """float32 [D]"""
    scale: Tensor
    """float32 [D], standard deviation; 1 where a feature is constant, as in scikit-learn"""
    count: int
    """images that the statistics were taken over"""

    @classmethod
    def of(cls, vectors: Tensor) -> Standardiser:
        """The statistics of float [N, D]."""
        mean = torch.zeros(vectors.shape[1], dtype=torch.float64)
        square = torch.zeros_like(mean)
        for chunk in vectors.split(CHUNK):
            mean += chunk.double().sum(dim=0) / len(vectors)
        for chunk in vectors.split(CHUNK):
            square += (chunk.double() - mean).square().sum(dim=0) / len(vectors)
        scale = square.sqrt()
        # Rounding gives a constant feature a tiny deviation, by which it must not be divided.
        scale[scale <= 1e-6 * mean.abs() + 1e-12] = 1.0
        return cls(mean.float(), scale.float(), len(vectors))

    def __call__(self, vectors: Tensor) -> Tensor:
        """Float [N, D] -> standardised float32 [N, D]."""
        return (vectors.float() - self.mean) / self.scale


@dataclass(frozen=True)
class PrincipalAxes:
    """Standardised training rows along orthonormal axes in which they are uncorrelated.

    The penalty looks the same along any orthonormal axes, so the optimum is unchanged; but how curved the loss is
    along each axis is now known, and dividing by it lets L-BFGS get there in a fraction of the steps. With fewer rows
    than features only the axes that the rows span are kept: the optimum has no part outside them.
    """

    standardise: Standardiser
    """applied to every row first"""
    directions: Tensor
    """float32 [D, R], orthonormal columns"""
    energy: Tensor
    """float64 [R], sum of squares of the rows along each axis"""
    coordinates: Tensor
    """float32 [N, R], the rows"""

    @classmethod
    def of(cls, vectors: Tensor, standardise: Standardiser) -> PrincipalAxes:
        """The axes of float [N, D]."""
        energy, directions = (
            _few_rows(standardise(vectors))
            if len(vectors) < vectors.shape[1]
            else _many_rows(standardise(chunk) for chunk in vectors.split(CHUNK))
        )
        directions = directions.float()
        return cls(standardise, directions, energy.clamp_min(0), _along(vectors, standardise, directions))

    def along(self, vectors: Tensor) -> Tensor:
        """Float [N, D] -> float32 [N, R]."""
        return _along(vectors, self.standardise, self.directions)

    def some(self, rows: Tensor) -> PrincipalAxes:
        """The same axes with a random part of the rows, int64 [M]."""
        share = len(rows) / len(self.coordinates)
        return replace(self, energy=self.energy * share, coordinates=self.coordinates[rows])


def _many_rows(chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Energy [D] and axes [D, D] of rows given in chunks of [n, D]."""
    gram = sum((rows.T @ rows for rows in chunks), torch.zeros(()))
    energy, directions = torch.linalg.eigh(gram.double())
    return energy, directions


def _few_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Energy [R] and axes [D, R] of N < D rows, by the smaller Gram matrix."""
    rows = rows.double()
    energy, sides = torch.linalg.eigh(rows @ rows.T)
    kept = energy > 1e-9 * energy.max()
    return energy[kept], rows.T @ sides[:, kept] / energy[kept].sqrt()


def _along(vectors: Tensor, standardise: Standardiser, directions: Tensor) -> Tensor:
    placed = torch.empty(len(vectors), directions.shape[1])
    for first in range(0, len(vectors), CHUNK):
        torch.mm(standardise(vectors[first : first + CHUNK]), directions, out=placed[first : first + CHUNK])
    return placed


def logits(weights: Tensor, coordinates: Tensor) -> Tensor:
    """Weights [K, C, R + 1] of K fits (the last column is the bias), rows [N, R] -> float32 [K, C, N].

    Multiplied as rows times weights, half the time of weights times rows where classes are few; then laid out by class,
    for sums over classes run five times as fast so.
    """
    fits, classes, _ = weights.shape
    flat = weights.flatten(0, 1).float()
    return torch.addmm(flat[:, -1], coordinates, flat[:, :-1].T).T.contiguous().view(fits, classes, -1)


def fit(
    axes: PrincipalAxes,
    targets: Tensor,
    classes: int,
    counted: Tensor,
    strength: float,
    start: Tensor | None = None,
    iterations: int = 300,
    tolerance: float = 1e-7,
) -> Tensor:
    """Weights float64 [K, C, R + 1] that minimise  sum CE + strength / 2 ||W||^2, for K subsets of the rows at once.

    ``strength`` is 1 / C of scikit-learn's ``LogisticRegression``. The bias is not penalised. The K problems share
    nothing but the matrix products, so that cross-validation costs little more than one fit.

    Args:
        axes: the training rows, N of them.
        targets: int64 [N] in 0..C-1.
        classes: C.
        counted: bool [K, N], the rows that each fit sees. A class without a counted row gets a bias that falls until
            the iterations end.
        strength: the penalty, above 0.
        start: weights to start from, [K, C, R + 1].
        iterations: steps of L-BFGS at most.
        tolerance: stop where a step changes the mean loss by less.
    """
    objective = _Objective(axes, targets, classes, counted, strength)
    weights = objective.zeros() if start is None else start
    directions, metric = objective.metric(weights)  # [C, C], [C, R + 1]
    scaled = directions.T @ weights / metric
    solver = torch.optim.LBFGS(
        [scaled],
        max_iter=iterations,
        history_size=10,
        tolerance_grad=1e-6,
        tolerance_change=tolerance,
        line_search_fn="strong_wolfe",
    )

    def value_and_gradient() -> Tensor:
        value, gradient = objective(directions @ (scaled * metric))
        scaled.grad = directions.T @ gradient * metric
        return torch.tensor(value)

    with threads_for(weights.numel() * len(targets)):
        solver.step(value_and_gradient)  # type: ignore[arg-type]  # a tensor serves as the value, and costs no gradient
    return directions @ (scaled * metric)


class _Objective:
    """Mean penalised cross-entropy of K fits, and its gradient, written out."""

    def __init__(self, axes: PrincipalAxes, targets: Tensor, classes: int, counted: Tensor, strength: float) -> None:
        self.axes, self.strength, self.classes = axes, strength, classes
        self.answers = F.one_hot(targets, self.classes).T.float()  # [C, N]
        self.counted = counted.float()[:, None]  # [K, 1, N]
        self.total = float(counted.sum())

    def zeros(self) -> Tensor:
        return torch.zeros(len(self.counted), self.classes, len(self.axes.energy) + 1, dtype=torch.float64)

    def __call__(self, weights: Tensor) -> tuple[float, Tensor]:
        log_prob = logits(weights, self.axes.coordinates).log_softmax(dim=1)  # [K, C, N]
        loss = -float(((log_prob * self.answers).sum(dim=1) * self.counted[:, 0]).sum(dtype=torch.float64))
        error = log_prob.exp_().sub_(self.answers).mul_(self.counted)  # [K, C, N]
        slope = (error.flatten(0, 1) @ self.axes.coordinates).view(*error.shape[:2], -1)
        slope = torch.cat([slope, error.sum(dim=2, keepdim=True)], dim=2).double()
        penalised = weights[..., :-1]
        loss += self.strength / 2 * float(penalised.square().sum())
        slope[..., :-1] += self.strength * penalised
        return loss / self.total, slope / self.total

    def metric(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Orthonormal directions [C, C] between classes, and how far to move along each and each axis, [C, R + 1].

        The Hessian of the cross-entropy is the sum over rows of (diag p - p p') ⊗ x x'. With the two factors averaged
        apart (as K-FAC does: Martens & Grosse 2015, https://arxiv.org/abs/1503.05671) it is diagonal along the
        eigenvectors of both; the step is one over the root of the curvature there. The optimum stays where it is.
        """
        prob = logits(weights, self.axes.coordinates).softmax(dim=1).transpose(0, 1).flatten(1).double()  # [C, K N]
        level, directions = torch.linalg.eigh(prob.mean(dim=1).diag() - prob @ prob.T / prob.shape[1])
        level[0] = level[-1]  # what all classes share: nothing depends on it, and a long step there is rounding alone
        curvature = level[:, None] * torch.cat([self.axes.energy, torch.tensor([float(self.answers.shape[1])])])
        curvature[:, :-1] += self.strength
        return directions, curvature.clamp_min(1e-12).rsqrt()
