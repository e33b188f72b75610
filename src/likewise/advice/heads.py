"""Heads on features of a few labelled images: what frozen arms learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise.adaptation import propagate_labels
from likewise.adaptation.prototypes import prototype_classifier
from likewise.classification import discriminant_head, fit_head
from likewise.classification.head import ABSENT
from likewise.data.batch import UNLABELLED
from likewise.evaluation.metrics.threads import threads_for

PROPAGATED = 1000
"""images without a label at most from which a head learns the answers of label propagation"""

NEIGHBOURS_IN_GRAPH = 20
"""of an image in label propagation: with 300 images without a label 50 were 0.7 points worse"""

NEIGHBOURS = 20
"""of k-NN at most; with few labels there are fewer, so that no class has to vote with strangers"""

Learner = Callable[[Tensor, Tensor, int], nn.Module]
"""Features [M, D] and labels [M], -1 where hidden, and the number of classes -> a head."""


def on_first(columns: int, learner: Learner) -> Learner:
    """A linear head that is learned from the first columns of the features, with zero weights for the others."""

    def learn(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
        narrow = learner(features[:, :columns], labels, classes)
        assert isinstance(narrow, nn.Linear)
        wide = nn.Linear(features.shape[1], classes).requires_grad_(False)
        wide.weight.zero_()
        wide.weight[:, :columns] = narrow.weight.detach()
        wide.bias.copy_(narrow.bias.detach())
        return wide.eval()

    return learn


def mean_of_heads(
    heads: Sequence[nn.Module],
    features: Tensor,
    present: Tensor,
    classes: int,
    weights: Tensor | None = None,
) -> nn.Module:
    """The mean of linear heads, whose logits have unit deviation on some features.

    Args:
        heads: float [B, D] -> [B, K].
        features: float [M, D].
        present: int64 [C], the classes with a label; the others are never the answer.
        classes: K.
        weights: float [A] of the heads, with sum 1; None: equal.
    """
    shares = [1 / len(heads)] * len(heads) if weights is None else weights.tolist()
    mean = nn.Linear(features.shape[1], classes).requires_grad_(False)
    mean.weight.zero_()
    mean.bias.fill_(ABSENT)
    mean.bias[present] = 0.0
    with threads_for(features.numel() * classes):
        for head, share in zip(heads, shares, strict=True):
            assert isinstance(head, nn.Linear)
            weight, bias = head.weight.detach()[present], head.bias.detach()[present]
            # Softmax does not change by these.
            weight, bias = weight - weight.mean(dim=0), bias - bias.mean()
            scale = share / (features @ weight.T + bias).std().clamp_min(1e-6)
            mean.weight[present] += scale * weight
            mean.bias[present] += scale * bias
    return mean.eval()


def mean_of_two(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """The mean of logistic regression and class prototypes, all of whose images have a label."""
    heads = [
        logistic_regression(features, labels, classes),
        prototype_classifier(features, labels, classes),
    ]
    return mean_of_heads(heads, features, labels.unique(), classes)


def of_labelled(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """Logistic regression that passes over images without a label."""
    known = labels != UNLABELLED
    return logistic_regression(features[known], labels[known], classes)


def discriminant_analysis(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """Linear discriminant analysis whose logits have unit deviation, which a temperature suits."""
    head = discriminant_head(features, labels, classes)
    return mean_of_heads([head], features, labels.unique(), classes)


def logistic_regression(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """Its L2 strength is chosen by cross-validation within these labels."""
    return fit_head(features, labels, classes).head


def propagated(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """Logistic regression on the labels that label propagation gives to all images.

    Propagation itself says nothing about a new image; a head that learned its answers does.
    """
    probabilities = propagate_labels(features, labels, classes, NEIGHBOURS_IN_GRAPH)
    answers = probabilities.argmax(dim=1).where(labels == UNLABELLED, labels)
    others = (labels == UNLABELLED).nonzero().flatten()
    answers[others[PROPAGATED:]] = UNLABELLED
    return fit_head(features, answers, classes).head


class NearestNeighbours(nn.Module):
    """Weighted k-NN, with as few neighbours as a small class has labels.

    Args:
        features: float [M, D].
        labels: int64 [M], all visible.
        classes: K.
    """

    def __init__(
        self, features: Tensor, labels: Tensor, classes: int, temperature: float = 0.07
    ) -> None:
        super().__init__()
        self.bank = F.normalize(features)
        self.labels = labels
        self.classes = classes
        self.temperature = temperature
        of_a_class = math.ceil(len(labels) / classes)
        self.k = max(1, min(NEIGHBOURS, of_a_class, len(labels)))

    def forward(self, features: Tensor) -> Tensor:
        """Logarithms of the share of votes, Wu et al. 2018, Sec. 3.4, https://arxiv.org/abs/1805.01978."""
        cosines = F.normalize(features) @ self.bank.T  # [B, N]
        similarity, neighbour = cosines.topk(self.k, dim=1)  # [B, k]
        weight = ((similarity - similarity[:, :1]) / self.temperature).exp()
        votes = torch.full((len(features), self.classes), 1e-6)
        votes.scatter_add_(1, self.labels[neighbour], weight)
        return votes.log()
