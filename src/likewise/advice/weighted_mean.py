"""The mean of frozen arms, each weighted by how probable it finds labels that are held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from likewise.advice.cross_validation import TriedArm
from likewise.advice.frozen import FrozenArm
from likewise.advice.heads import logistic_regression, mean_of_heads
from likewise.randomness import generator

WEIGHTED_MEAN = "weighted mean of heads"
"""part of the names of these arms"""

PRIOR = 2.0
"""of the log probability of all held-out labels together: by so much must another arm be better than the mean"""

RESAMPLES = 500
"""Bayesian bootstrap samples of the labelled images"""


class WeightedMeanArm(FrozenArm):
    """The mean logits of frozen arms with pseudo-BMA+ weights.

    Few labels do not tell which arm is best. Choosing the seemingly best one loses what averaging those that may be
    best does not. The weights for a fold come from the other folds' answers, so that the cross-validation of the mean
    is one of the weights too.

    Args:
        arms: linear heads on the features of one encoder.
        tried: their cross-validation, in the same order.
        labels: int64 [N], -1 where hidden.
        groups: int64 [L], which labelled images belong together; None: each is by itself.
    """

    def __init__(
        self,
        arms: Sequence[FrozenArm],
        tried: Sequence[TriedArm],
        labels: Tensor,
        groups: Tensor | None = None,
    ) -> None:
        frozen = arms[0].frozen
        card = replace(
            arms[0].card,
            name=f"{frozen.name}, frozen, {WEIGHTED_MEAN}",
            unlabelled=any(arm.card.unlabelled for arm in arms),
            prior=PRIOR,
            averaged=tuple(arm.card.name for arm in arms),
        )
        super().__init__(card, frozen, logistic_regression, arms[0].classes)
        self.arms, self.tried = arms, tried
        self.labelled = (labels >= 0).nonzero().flatten()
        self.truth = labels[self.labelled]
        self.groups = torch.arange(len(self.truth)) if groups is None else groups

    def seconds(self, labelled: int) -> float:
        """None, since the heads are there already."""
        return 0.0

    def head(self, shown: Tensor) -> nn.Module:
        """The weighted mean of the arms' heads for the same labels."""
        left_out, labels = self.separated(shown)
        heads = [arm.fit(labels, left_out, math.inf).head for arm in self.arms]
        return mean_of_heads(
            heads,
            self.frozen.vectors[shown >= 0],
            shown[shown >= 0].unique(),
            self.classes,
            self.weights(shown[self.labelled] >= 0),
        )

    def weights(self, usable: Tensor) -> Tensor:
        """Float64 [A], from the answers for some of the labelled images, bool [L]."""
        rows = usable & self.tried[0].measured
        truth = self.truth[rows]
        some = [replace(each, logits=each.logits[rows]) for each in self.tried]
        scores = torch.stack([each.scores(truth) for each in some], dim=1)  # [M, A]
        return pseudo_bma_weights(scores, self.groups[rows])


def weighted_mean(
    arms: Sequence[FrozenArm],
    tried: Sequence[TriedArm],
    labels: Tensor,
    groups: Tensor | None = None,
) -> WeightedMeanArm | None:
    """The weighted mean of those that can be saved and got through all folds; None where no label can be held out.

    Args:
        arms: on the features of one encoder.
        tried: their cross-validation, in the same order.
        labels: int64 [N], -1 where hidden.
        groups: int64 [L], which labelled images belong together; None: each is by itself.
    """
    usable = [
        (arm, each)
        for arm, each in zip(arms, tried, strict=True)
        if arm.card.can_win and each.outcome == "complete" and bool(each.measured.any())
    ]
    if len(usable) < 2:
        return None
    averaged = [arm for arm, _ in usable]
    measured = [each for _, each in usable]
    return WeightedMeanArm(averaged, measured, labels, groups)


def pseudo_bma_weights(scores: Tensor, groups: Tensor, seed: int = 0) -> Tensor:
    """Weights of models by the probability that each gives to images that it did not learn from.

    Pseudo-BMA+ of Yao et al. 2018, Sec. 3.4 (https://doi.org/10.1214/17-BA1091): the weights of Bayesian model
    averaging with the cross-validated log probability as evidence, averaged over Bayesian bootstrap samples of the
    images, since the evidence of few images is uncertain.

    Args:
        scores: float64 [M, A], log probabilities of the labels; without any the weights are equal.
        groups: int64 [M]; images of one group have one weight in a bootstrap sample.
        seed: of the samples.

    Returns:
        float64 [A], with sum 1.
    """
    if not len(scores):
        return torch.full((scores.shape[1],), 1 / scores.shape[1], dtype=torch.float64)
    unit = groups.unique(return_inverse=True)[1]  # [M]
    units = int(unit.max()) + 1
    draws = torch.empty(RESAMPLES, units, dtype=torch.float64)
    draws.exponential_(generator=generator(seed, "weights"))
    share = draws[:, unit]  # [B, M]
    share = share / share.sum(dim=1, keepdim=True)
    evidence = len(scores) * share @ scores  # [B, A]
    return evidence.softmax(dim=1).mean(dim=0)
