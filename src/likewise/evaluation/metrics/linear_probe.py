"""A linear probe: multinomial logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.calibration import calibration_of
from likewise.evaluation.metrics.logistic_regression import PrincipalAxes, Standardiser, fit, logits
from likewise.evaluation.metrics.threads import threads_for
from likewise.evaluation.statistics.confidence import WILSON, accuracy
from likewise.evaluation.statistics.scores import (
    Features,
    Measurement,
    Score,
    require_labelled,
    require_usable,
)
from likewise.randomness import generator

STRENGTHS = (1e4, 1e3, 1e2, 1e1, 1e0, 1e-1, 1e-2)
SINGLE_SPLIT = 5000
"""with so many labelled images one validation part is enough: a fifth of them gives accuracy to within 3 points"""
SEARCHED = 12500
"""labelled images used at most to choose a strength; as the penalty of a sum of losses it also suits more images"""
FOLDS = 5
UNSEARCHED_STRENGTH = 10.0
"""used where no class has a second label for validation"""


@dataclass(frozen=True)
class LinearProbe:
    """Multinomial logistic regression on standardised features, its L2 strength chosen without the test images.

    Features are standardised over all training images, labelled or not. The strength with the lowest cross-entropy on
    validation images is used to fit all labelled training images. (Accuracy is too coarse with few labels: choosing by
    it lost up to 1.6 points with 2 labels a class of Fashion-MNIST.) Validation images are a stratified fifth of the
    labelled training images, or 5-fold cross-validation below 5,000 of them. A class with m < 5 labels is in the first
    m folds, and a class with one label is never held out. Where no class has two labels, a stated strength is used.

    Batch-wise SGD probes (100 epochs, rate swept) approach the same optimum more slowly and depend on a schedule.
    """

    strengths: Sequence[float] = STRENGTHS
    """L2 penalties to choose from, of sum CE + strength / 2 ||W||^2 (1 / C in scikit-learn)"""
    seed: int = 0
    """of the split into folds"""

    def __post_init__(self) -> None:
        if not self.strengths or min(self.strengths) <= 0:
            raise LikewiseError(
                f"LinearProbe(strengths={self.strengths}): give one or more strengths above 0."
            )

    def evaluate(self, train: Features, test: Features) -> Measurement:
        """Top-1 accuracy on the labelled test rows."""
        require_labelled(test, "test")
        return self.fit(train).evaluate(test)

    def fit(self, train: Features, standardise: Standardiser | None = None) -> FittedProbe:
        """Choose the strength and fit; test images play no part.

        Args:
            train: training features; rows without a label are used only to standardise.
            standardise: statistics to use instead of those of ``train``.

        Raises:
            LikewiseError: no label, labels of one class only, or NaN or infinite features.
        """
        rows = require_labelled(train, "training")
        classes, targets = rows.labels.unique(return_inverse=True)
        if len(classes) < 2:
            raise LikewiseError(
                f"All {amount(len(targets), 'labelled training image')} are of class {int(classes[0])}; a linear "
                f"probe needs two classes. Label images of a second class; without, only the label-free "
                f"measures can be had."
            )
        rows = rows.where_fitted_fastest()
        standardise = (standardise or Standardiser.of(train.vectors)).to(rows.vectors.device)
        axes = PrincipalAxes.of(rows.vectors, standardise)
        with threads_for(axes.coordinates.numel() * len(classes) * FOLDS):
            choice, start = self._choose(axes, targets, len(classes))
            everything = torch.ones(1, len(targets), dtype=torch.bool)
            weights = fit(axes, targets, len(classes), everything, choice["strength"], start)[0]
        protocol = {
            **choice,
            "labelled": len(targets),
            "standardised_over": standardise.count,
            "seed": self.seed,
        }
        return FittedProbe(classes, axes, weights, protocol)

    def _choose(
        self,
        axes: PrincipalAxes,
        targets: Tensor,
        classes: int,
    ) -> tuple[dict[str, Any], Tensor | None]:
        """The strength with how it was chosen, and weights [1, C, R + 1] as the start of the final fit."""
        if len(self.strengths) == 1:
            return _without_validation(self.strengths[0], "given"), None
        order = torch.randperm(len(targets), generator=generator(self.seed, "searched"))
        searched = order[:SEARCHED].sort().values
        fold_of = stratified_folds(targets[searched], self.seed)  # [N]
        if not bool((fold_of >= 0).any()):
            how = "not searched: no class has a second label to validate with"
            return _without_validation(UNSEARCHED_STRENGTH, how), None
        folds = 1 if len(fold_of) >= SINGLE_SPLIT else int(fold_of.max()) + 1
        held_out = torch.stack([fold_of == fold for fold in range(folds)])  # [K, N]
        best = self.search(axes.some(searched), targets[searched], classes, held_out)
        how = {
            "strength": best.strength,
            "strength_chosen": f"{folds}-fold cross-validation" if folds > 1 else "validation part",
            "validation": int(held_out.sum()),
            "validation_accuracy": best.accuracy,
            "validation_cross_entropy": best.cross_entropy,
        }
        return how, best.weights.mean(dim=0, keepdim=True)

    def search(self, axes: PrincipalAxes, targets: Tensor, classes: int, held_out: Tensor) -> Tried:
        """The best strength: weaker and weaker ones, each started from the last fit, until one is worse.

        Args:
            axes: the labelled rows, N of them.
            targets: int64 [N] in 0..C-1.
            classes: C.
            held_out: bool [K, N], the validation rows of each of K fits; each learns from its other rows.
        """
        best = None
        weights = None
        for strength in sorted(self.strengths, reverse=True):
            weights = fit(
                axes,
                targets,
                classes,
                ~held_out,
                strength,
                weights,
                iterations=50,
                tolerance=1e-6,
            )
            with threads_for(weights.numel() * len(targets)):
                tried = _validate(weights, axes, targets, held_out, strength)
            if best is not None and tried.cross_entropy >= best.cross_entropy:
                break
            best = tried
        assert best is not None
        return best


def _without_validation(strength: float, how: str) -> dict[str, Any]:
    return {"strength": strength, "strength_chosen": how, "validation": 0}


class Tried(NamedTuple):
    """One strength on the validation images."""

    accuracy: float
    cross_entropy: float
    """mean over the validation images"""
    strength: float
    weights: Tensor
    """float64 [K, C, R + 1]"""


def _validate(
    weights: Tensor,
    axes: PrincipalAxes,
    targets: Tensor,
    held_out: Tensor,
    strength: float,
) -> Tried:
    targets, held_out = targets.to(weights.device), held_out.to(weights.device)
    log_prob = logits(weights, axes.coordinates).log_softmax(dim=1)  # [K, C, N]
    log_prob = log_prob.transpose(1, 2)[held_out]  # [V, C]
    true = targets.expand(len(held_out), -1)[held_out]  # [V]
    accuracy = float((log_prob.argmax(dim=1) == true).float().mean())
    cross_entropy = -float(log_prob.gather(1, true[:, None]).mean())
    return Tried(accuracy, cross_entropy, strength, weights)


@dataclass(frozen=True)
class FittedProbe:
    """A fitted linear classifier with its protocol."""

    classes: Tensor
    """int64 [C], the label of each column"""
    axes: PrincipalAxes
    """the axes of the weights"""
    weights: Tensor
    """float64 [C, R + 1], the bias last"""
    protocol: dict[str, Any]
    """strength and how it was chosen, validation accuracy, labels, seed"""

    def evaluate(self, test: Features) -> Measurement:
        """Top-1 accuracy and calibration on the labelled test rows."""
        require_labelled(test, "test")
        with threads_for(len(test.vectors) * self.axes.directions.numel()):
            logits = self.logits(test.vectors)
        predictions = self.classes[logits.argmax(dim=1)]
        interval, count = accuracy(predictions, test.labels)
        score = Score("linear_top1", *interval, count, self.protocol | {"interval": WILSON})
        return Measurement(
            score, predictions, calibration=calibration_of(logits, test.labels, self.classes)
        )

    def predict(self, vectors: Tensor) -> Tensor:
        """A class for each row, float [N, D] -> int64 [N]."""
        require_usable(vectors, "test")
        with threads_for(len(vectors) * self.axes.directions.numel()):
            return self.classes[self.logits(vectors).argmax(dim=1)]

    def logits(self, vectors: Tensor) -> Tensor:
        """Float [N, D] -> float32 [N, C] on the CPU."""
        return logits(self.weights[None], self.axes.along(vectors))[0].T.cpu()


def stratified_folds(targets: Tensor, seed: int, folds: int = FOLDS) -> Tensor:
    """The fold in which each row is held out, int64 [N]; -1 for a class's only row.

    Args:
        targets: int64 [N], the class of each row.
        seed: of the order within each class.
        folds: at most so many; a class of fewer rows is in as many as it has.
    """
    fold_of = torch.full_like(targets, -1)
    for label in targets.unique().tolist():
        rows = (targets == label).nonzero().flatten()
        if len(rows) > 1:
            order = torch.randperm(len(rows), generator=generator(seed, "folds", label))
            fold_of[rows[order]] = torch.arange(len(rows)) % min(folds, len(rows))
    return fold_of


def grouped_folds(targets: Tensor, groups: Tensor, seed: int, folds: int = FOLDS) -> Tensor:
    """The fold in which each row is held out, int64 [N], where whole groups are, by `StratifiedGroupKFold`.

    Args:
        targets: int64 [N], the class of each row.
        groups: int64 [N], which rows belong together; with fewer groups than folds there are fewer folds.
        seed: of the order.
        folds: at most so many.
    """
    # scikit-learn takes a second to import, which most commands do without
    from sklearn.model_selection import StratifiedGroupKFold

    fold_of = torch.zeros_like(targets)
    count = min(folds, len(groups.unique()))
    if count < 2:
        return fold_of
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed % 2**32)
    classes = targets.numpy()
    # The first argument's length alone is used.
    splits = splitter.split(classes, classes, groups.numpy())
    for fold, (_, held_out) in enumerate(splits):
        fold_of[torch.from_numpy(held_out)] = fold
    return fold_of
