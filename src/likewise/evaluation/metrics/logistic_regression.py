"""Multinomial logistic regression with an L2 penalty, fast enough to be fitted hundreds of times."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from likewise.evaluation.metrics.threads import threads_for, threads_for_decomposition

CHUNK = 8192
"""rows standardised at a time, so that no second copy of the features is in memory"""


@dataclass(frozen=True)
class Standardiser:
    """Zero mean and unit variance per feature, by the statistics of training images; labels are not used."""

    mean: Tensor
    """float32 [D]"""
    scale: Tensor
    """float32 [D], standard deviation; 1 where a feature is constant, as in scikit-learn"""
    count: int
    """number of images in the statistics"""

    @classmethod
    def of(cls, vectors: Tensor) -> Standardiser:
        """The statistics of float [N, D]."""
        mean = torch.zeros(vectors.shape[1], dtype=torch.float64, device=vectors.device)
        square = torch.zeros_like(mean)
        for chunk in vectors.split(CHUNK):
            mean += chunk.double().sum(dim=0) / len(vectors)
        for chunk in vectors.split(CHUNK):
            deviation = chunk.double() - mean
            square += deviation.square().sum(dim=0) / len(vectors)
        scale = square.sqrt()
        # Rounding gives a constant feature a tiny standard deviation; dividing by it would amplify noise.
        scale[scale <= 1e-6 * mean.abs() + 1e-12] = 1.0
        return cls(mean.float(), scale.float(), len(vectors))

    def to(self, device: torch.device) -> Standardiser:
        """The same on a device."""
        return replace(self, mean=self.mean.to(device), scale=self.scale.to(device))

    def __call__(self, vectors: Tensor) -> Tensor:
        """Float [N, D] -> standardised float32 [N, D]."""
        return (vectors.float() - self.mean) / self.scale


@dataclass(frozen=True)
class PrincipalAxes:
    """Standardised training rows along orthonormal axes in which they are uncorrelated.

    The L2 penalty is invariant to rotation, so the optimum is unchanged; but the curvature of the loss along each axis
    is known, and scaling by it lets L-BFGS converge in a fraction of the steps. With fewer rows than features only the
    axes that the rows span are used: the optimum has no component outside them.
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
        with threads_for(vectors.numel() * min(vectors.shape)):
            if len(vectors) < vectors.shape[1]:
                energy, directions = _few_rows(standardise(vectors))
            else:
                energy, directions = _many_rows(standardise(each) for each in vectors.split(CHUNK))
            directions = directions.float()
            coordinates = _along(vectors, standardise, directions)
        return cls(standardise, directions, energy.clamp_min(0), coordinates)

    def along(self, vectors: Tensor) -> Tensor:
        """Float [N, D], wherever they lie -> float32 [N, R] on the axes' device."""
        return _along(vectors.to(self.directions.device), self.standardise, self.directions)

    def some(self, rows: Tensor) -> PrincipalAxes:
        """The same axes with a random part of the rows, int64 [M]."""
        share = len(rows) / len(self.coordinates)
        return replace(self, energy=self.energy * share, coordinates=self.coordinates[rows])


def _many_rows(chunks: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Energy [D] and axes [D, D] of rows given in chunks of [n, D]."""
    gram = sum((rows.T @ rows for rows in chunks), torch.zeros(()))
    with threads_for_decomposition(len(gram)):
        energy, directions = torch.linalg.eigh(gram.double())
    return energy, directions


def _few_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Energy [R] and axes [D, R] of N < D rows, by the smaller Gram matrix."""
    rows = rows.double()
    gram = rows @ rows.T
    with threads_for_decomposition(len(gram)):
        energy, sides = torch.linalg.eigh(gram)
    spanned = energy > 1e-9 * energy.max()
    return energy[spanned], rows.T @ sides[:, spanned] / energy[spanned].sqrt()


def _along(vectors: Tensor, standardise: Standardiser, directions: Tensor) -> Tensor:
    coordinates = torch.empty(len(vectors), directions.shape[1], device=vectors.device)
    for first in range(0, len(vectors), CHUNK):
        chunk = slice(first, first + CHUNK)
        torch.mm(standardise(vectors[chunk]), directions, out=coordinates[chunk])
    return coordinates


def logits(weights: Tensor, coordinates: Tensor) -> Tensor:
    """Weights [K, C, R + 1] of K fits (the last column is the bias), rows [N, R] -> float32 [K, C, N].

    The product is rows times weights, twice as fast as weights times rows with few classes. It is then laid out by
    class, which makes sums over classes five times as fast.
    """
    fits, classes, _ = weights.shape
    flat = weights.flatten(0, 1).float()  # [K * C, R + 1]
    by_row = torch.addmm(flat[:, -1], coordinates, flat[:, :-1].T)  # [N, K * C]
    return by_row.T.contiguous().view(fits, classes, -1)


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
    their matrix products, so that cross-validation costs little more than one fit.

    Args:
        axes: the training rows, N of them.
        targets: int64 [N] in 0..C-1.
        classes: C.
        counted: bool [K, N], the rows of each fit. The bias of a class without a row falls until the iterations end.
        strength: the L2 penalty, above 0.
        start: weights to start from, [K, C, R + 1].
        iterations: L-BFGS iterations at most.
        tolerance: stop where an iteration changes the mean loss by less.
    """
    with threads_for(counted.numel() * classes * len(axes.energy)):
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

        solver.step(value_and_gradient)  # type: ignore[arg-type]  # a tensor serves as the value, and costs no gradient
        return directions @ (scaled * metric)


class _Objective:
    """Mean penalised cross-entropy of K fits, and its gradient, written out."""

    def __init__(
        self,
        axes: PrincipalAxes,
        targets: Tensor,
        classes: int,
        counted: Tensor,
        strength: float,
    ) -> None:
        self.axes = axes
        self.strength = strength
        self.classes = classes
        self.device = axes.coordinates.device
        self.one_hot = F.one_hot(targets, self.classes).T.float().to(self.device)  # [C, N]
        self.counted = counted.float()[:, None].to(self.device)  # [K, 1, N]
        self.total = float(counted.sum())

    def zeros(self) -> Tensor:
        fits = len(self.counted)
        axes = len(self.axes.energy)
        return torch.zeros(fits, self.classes, axes + 1, dtype=torch.float64, device=self.device)

    def __call__(self, weights: Tensor) -> tuple[float, Tensor]:
        log_prob = logits(weights, self.axes.coordinates).log_softmax(dim=1)  # [K, C, N]
        of_own_class = (log_prob * self.one_hot).sum(dim=1)  # [K, N]
        counted = of_own_class * self.counted[:, 0]
        loss = -float(counted.sum(dtype=torch.float64))
        error = log_prob.exp_().sub_(self.one_hot).mul_(self.counted)  # [K, C, N]
        slope = error.flatten(0, 1) @ self.axes.coordinates  # [K * C, R]
        slope = slope.view(*error.shape[:2], -1)
        of_bias = error.sum(dim=2, keepdim=True)
        slope = torch.cat([slope, of_bias], dim=2).double()  # [K, C, R + 1]
        penalised = weights[..., :-1]
        loss += self.strength / 2 * float(penalised.square().sum())
        slope[..., :-1] += self.strength * penalised
        return loss / self.total, slope / self.total

    def metric(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Orthonormal directions [C, C] between classes, and how far to move along each and each axis, [C, R + 1].

        The Hessian of the cross-entropy is the sum over rows of (diag p - p p') ⊗ x x'. With the two factors averaged
        apart (as K-FAC does: Martens & Grosse 2015, https://arxiv.org/abs/1503.05671) it is diagonal along the
        eigenvectors of both; the step is one over the root of the curvature there. The optimum is unchanged.
        """
        prob = logits(weights, self.axes.coordinates).softmax(dim=1)  # [K, C, N]
        prob = prob.transpose(0, 1).flatten(1).double()  # [C, K N]
        second_moment = prob @ prob.T / prob.shape[1]  # [C, C]
        between_classes = prob.mean(dim=1).diag() - second_moment
        with threads_for_decomposition(len(between_classes)):
            level, directions = torch.linalg.eigh(between_classes)
        level[0] = level[-1]  # the direction common to all classes: the loss does not depend on it
        of_bias = level.new_full((1,), float(self.one_hot.shape[1]))
        curvature = level[:, None] * torch.cat([self.axes.energy, of_bias])
        curvature[:, :-1] += self.strength
        return directions, curvature.clamp_min(1e-12).rsqrt()
