"""Linear discriminant analysis on features of a few labelled images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from likewise.classification.head import ABSENT, require_two_classes
from likewise.classification.temperature import fit_temperature
from likewise.evaluation.metrics.linear_probe import stratified_folds
from likewise.evaluation.metrics.threads import threads_for, threads_for_decomposition
from likewise.evaluation.statistics.scores import Features, require_labelled
from likewise.randomness import generator

SHARES = (0.2, 0.5, 0.7, 0.85, 0.93, 0.97, 0.985)
"""shares of the identity that are tried"""

WITHOUT_EVIDENCE = 0.93
"""the share where nothing can be held out"""

FOLDS, SEARCHED = 5, 1000
"""folds of the search for the share at most, and rows that it looks at"""


@torch.no_grad()
def discriminant_head(
    features: Tensor, labels: Tensor, num_classes: int, share: float | None = None, seed: int = 0
) -> nn.Linear:
    """Linear discriminant analysis with the covariance within classes shrunk towards a multiple of the identity.

    It weighs a direction by how little images of a class differ along it, so it finds fine differences that a penalty
    on the weights of logistic regression suppresses. The share of the identity decides how much: it is chosen by
    cross-validation within these labels, as in regularised discriminant analysis (Friedman 1989, Sec. 3,
    https://doi.org/10.1080/01621459.1989.10478752). That of Ledoit & Wolf 2004 suits the covariance and not the
    classes: with 200 labels it took 1.5 points off the accuracy on seven sets of photographs.

    Args:
        features: float [N, D].
        labels: int64 [N] in 0..K-1, -1 where there is none; such rows are passed over.
        num_classes: K; a class that no row is labelled with gets a logit of -10,000.
        share: of the identity, above 0 and at most 1; None: chosen.
        seed: of the folds.

    Returns:
        features [B, D] -> logits [B, K], whose softmax is the posterior probability for classes as frequent as among
        the labels.

    Raises:
        LikewiseError: no label, labels of one class only, or NaN or infinite features.
    """
    rows = require_labelled(Features(features, labels), "training")
    classes, targets = require_two_classes(rows.labels)
    vectors = rows.vectors.double()
    with threads_for(vectors.numel() * min(vectors.shape)):
        if share is None:
            share = best_share(vectors, targets, seed)
        weight, bias = _ClassStatistics.of(vectors, targets).classifier(share)
    head = nn.Linear(vectors.shape[1], num_classes)
    head.weight.zero_()
    head.bias.fill_(ABSENT)
    head.weight[classes] = weight.float()
    head.bias[classes] = (bias - bias.mean()).float()
    return head.eval().requires_grad_(False)


def best_share(vectors: Tensor, targets: Tensor, seed: int = 0) -> float:
    """The share of `SHARES` with the lowest cross-entropy of held-out rows, each at its best temperature.

    Args:
        vectors: float64 [N, D].
        targets: int64 [N] in 0..C-1, with a row of every class.
        seed: of the folds, and of the thousand rows that are looked at where there are more.
    """
    if len(targets) > SEARCHED:
        order = torch.randperm(len(targets), generator=generator(seed, "discriminant share"))
        vectors, targets = vectors[order[:SEARCHED]], targets[order[:SEARCHED]]
    fold_of = stratified_folds(targets, seed, FOLDS)
    held_out = fold_of >= 0
    if not bool(held_out.any()):
        return WITHOUT_EVIDENCE
    logits = torch.full((len(SHARES), len(targets), int(targets.max()) + 1), ABSENT).double()
    for fold in range(int(fold_of.max()) + 1):
        own = fold_of == fold
        classes, positions = targets[~own].unique(return_inverse=True)
        learned = _ClassStatistics.of(vectors[~own], positions)
        for number, share in enumerate(SHARES):
            weight, bias = learned.classifier(share)
            of_fold = torch.full((int(own.sum()), logits.shape[2]), ABSENT).double()
            of_fold[:, classes] = vectors[own] @ weight.T + bias
            logits[number, own] = of_fold
    losses = [_cross_entropy(each[held_out], targets[held_out]) for each in logits]
    return SHARES[losses.index(min(losses))]


def _cross_entropy(logits: Tensor, targets: Tensor) -> float:
    return float(functional.cross_entropy(logits / fit_temperature(logits, targets), targets))


class _ClassStatistics(NamedTuple):
    """Means of C classes, and how their rows differ from them, in the R dimensions that N rows span."""

    centre: Tensor
    """float64 [D], of all rows"""
    means: Tensor
    """[C, D], from the centre"""
    counts: Tensor
    """[C]"""
    lengths: Tensor
    """[R], singular values of the rows from their means"""
    directions: Tensor
    """[R, D]"""

    @classmethod
    def of(cls, vectors: Tensor, targets: Tensor) -> _ClassStatistics:
        """Of float64 [N, D] with classes [N]."""
        centre = vectors.mean(dim=0)
        vectors = vectors - centre
        counts = torch.bincount(targets).double()
        sums = torch.zeros(len(counts), vectors.shape[1], dtype=torch.float64)
        means = sums.index_add_(0, targets, vectors) / counts[:, None]
        within = vectors - means[targets]  # [N, D]
        if not bool(within.any()):  # one row a class says nothing of how rows of a class differ
            within = vectors
        with threads_for_decomposition(min(within.shape)):
            _, lengths, directions = torch.linalg.svd(within, full_matrices=False)
        return cls(centre, means, counts, lengths, directions)

    def classifier(self, share: float) -> tuple[Tensor, Tensor]:
        """Weight [C, D] and bias [C] by the shrunk covariance, whose inverse needs no D x D equations."""
        rows, width = self.counts.sum(), self.means.shape[1]
        level = share * self.lengths.square().sum() / (rows * width)  # the identity's part
        variances = (1 - share) * self.lengths.square() / rows + level  # [R]
        along = self.means @ self.directions.T  # [C, R]
        weight = self.means / level + (along / variances - along / level) @ self.directions
        bias = (self.counts / rows).log() - (weight * self.means).sum(dim=1) / 2
        return weight, bias - weight @ self.centre
