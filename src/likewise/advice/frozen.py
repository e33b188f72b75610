"""Arms that fit a head on the features of a frozen encoder: seconds each, since each image is encoded once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from likewise.adaptation import propagate_labels
from likewise.adaptation.prototypes import prototype_classifier
from likewise.advice.arm import AdviceArm, ArmCard, Start, Trained
from likewise.classification import fit_head
from likewise.classification.head import ABSENT
from likewise.data.batch import UNLABELLED
from likewise.encoders import Encoder, EncoderSettings

PROPAGATED = 1000
"""images without a label at most from which a head learns the answers of label propagation"""

NEIGHBOURS = 20
"""of k-NN at most; with few labels there are fewer, so that no class has to vote with strangers"""


@dataclass(frozen=True, eq=False)
class FrozenEncoder:
    """An encoder with the features of all N images."""

    name: str
    """as arms are called after it"""
    start: Start
    """the weights that it came from"""
    encoder: Encoder
    settings: EncoderSettings
    vectors: Tensor
    """float32 [N, D]"""
    heads: dict[tuple[str, bytes], nn.Module] = field(default_factory=dict)
    """those that were fitted already, by the arm's name and the labels"""


LEFT_OUT = -2
"""in the place of a label: the image may not be used at all"""

Learner = Callable[[Tensor, Tensor, int], nn.Module]
"""Features [M, D] and labels [M], -1 where hidden, and the number of classes -> a head."""


class FrozenArm(AdviceArm):
    """A head on frozen features.

    Args:
        card: what it is.
        frozen: the encoder and the features.
        learner: how the head is fitted.
        classes: K.
    """

    def __init__(self, card: ArmCard, frozen: FrozenEncoder, learner: Learner, classes: int) -> None:
        self.card, self.frozen, self.learner, self.classes = card, frozen, learner, classes
        self.measured = 0.0

    def seconds(self, labelled: int) -> float:
        """The last fit's, once there was one."""
        return self.measured

    def fit(self, labels: Tensor, left_out: Tensor, limit: float) -> Trained:
        """Fit the head, which is so quick that the limit is never reached."""
        began = time.perf_counter()
        shown = labels.clone()
        shown[left_out] = LEFT_OUT
        key = self.card.name, shown.numpy().tobytes()
        if key not in self.frozen.heads:
            self.frozen.heads[key] = self.head(shown)
            self.measured = time.perf_counter() - began
        return Trained(self.frozen.encoder, self.frozen.settings, self.frozen.heads[key])

    def head(self, shown: Tensor) -> nn.Module:
        """The head for labels int64 [N], -1 where hidden, -2 for images that may not be used at all."""
        usable = shown >= 0
        if self.card.unlabelled:
            usable |= shown == UNLABELLED
        return self.learner(self.frozen.vectors[usable], shown[usable], self.classes)

    def features(self, trained: Trained, rows: Tensor) -> Tensor:
        """Those that are there already."""
        return self.frozen.vectors[rows]


class MeanArm(FrozenArm):
    """The mean logits of the heads of other arms, each at unit deviation.

    With few labels their mistakes differ, and which is the best of them cannot be told from the labels.

    Args:
        card: what it is.
        frozen: the encoder and the features.
        arms: whose heads are averaged; all of them are linear.
        classes: K.
    """

    def __init__(self, card: ArmCard, frozen: FrozenEncoder, arms: Sequence[FrozenArm], classes: int) -> None:
        super().__init__(card, frozen, logistic_regression, classes)
        self.arms = arms

    def head(self, shown: Tensor) -> nn.Module:
        """The mean of the other arms' heads for the same labels."""
        left_out = (shown == LEFT_OUT).nonzero().flatten()
        labels = shown.where(shown != LEFT_OUT, UNLABELLED)
        heads = [arm.fit(labels, left_out, math.inf).head for arm in self.arms]
        return mean_of_heads(heads, self.frozen.vectors[shown >= 0], shown[shown >= 0].unique(), self.classes)


def mean_of_heads(heads: Sequence[nn.Module], features: Tensor, present: Tensor, classes: int) -> nn.Module:
    """The mean of linear heads, whose logits have unit deviation on some features.

    Args:
        heads: float [B, D] -> [B, K].
        features: float [M, D].
        present: int64 [C], the classes with a label; the others are never the answer.
        classes: K.
    """
    mean = nn.Linear(features.shape[1], classes).requires_grad_(False)
    mean.weight.zero_()
    mean.bias.fill_(ABSENT)
    mean.bias[present] = 0.0
    for head in heads:
        assert isinstance(head, nn.Linear)
        weight, bias = head.weight.detach()[present], head.bias.detach()[present]
        weight, bias = weight - weight.mean(dim=0), bias - bias.mean()  # softmax does not change
        scale = len(heads) * (features @ weight.T + bias).std().clamp_min(1e-6)
        mean.weight[present] += weight / scale
        mean.bias[present] += bias / scale
    return mean.eval()


def frozen_arms(frozen: FrozenEncoder, classes: int, unlabelled: int) -> Sequence[FrozenArm]:
    """Nearest neighbours, prototypes, logistic regression; label propagation and a mean where images have no label.

    Args:
        frozen: the encoder and the features.
        classes: K.
        unlabelled: images without a label.
    """

    def arm(what: str, learner: Learner, unlabelled: bool = False, can_win: bool = True) -> FrozenArm:
        card = ArmCard(f"{frozen.name}, frozen, {what}", frozen.start, unlabelled, False, can_win)
        return FrozenArm(card, frozen, learner, classes)

    arms: list[FrozenArm] = [
        arm("logistic regression", logistic_regression),
        arm("class prototypes", prototype_classifier),
        arm("k-NN", NearestNeighbours, can_win=False),
    ]
    if unlabelled:
        arms.append(arm("label propagation", propagated, unlabelled=True))
        card = ArmCard(f"{frozen.name}, frozen, mean of three heads", frozen.start, True, False)
        arms.append(MeanArm(card, frozen, [arms[0], arms[1], arms[3]], classes))
    return arms


def own_pretraining_arm(frozen: FrozenEncoder, classes: int) -> AdviceArm:
    """Logistic regression on an encoder that was pre-trained on the images without a label."""
    card = ArmCard(f"{frozen.name}, logistic regression", frozen.start, unlabelled=True, trains_encoder=False)
    return FrozenArm(card, frozen, of_labelled, classes)


def of_labelled(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """Logistic regression that passes over images without a label."""
    known = labels != UNLABELLED
    return logistic_regression(features[known], labels[known], classes)


def logistic_regression(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """Its L2 strength is chosen by cross-validation within these labels."""
    return fit_head(features, labels, classes).head


def propagated(features: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """Logistic regression on the labels that label propagation gives to all images.

    Propagation itself says nothing about a new image; a head that learned its answers does.
    """
    probabilities = propagate_labels(features, labels, classes)
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

    def __init__(self, features: Tensor, labels: Tensor, classes: int, temperature: float = 0.07) -> None:
        super().__init__()
        self.bank, self.labels, self.classes, self.temperature = F.normalize(features), labels, classes, temperature
        self.k = max(1, min(NEIGHBOURS, math.ceil(len(labels) / classes), len(labels)))

    def forward(self, features: Tensor) -> Tensor:
        """Logarithms of the share of votes, Wu et al. 2018, Sec. 3.4, https://arxiv.org/abs/1805.01978."""
        similarity, neighbour = (F.normalize(features) @ self.bank.T).topk(self.k, dim=1)  # [B, k]
        weight = ((similarity - similarity[:, :1]) / self.temperature).exp()
        votes = torch.full((len(features), self.classes), 1e-6)
        votes.scatter_add_(1, self.labels[neighbour], weight)
        return votes.log()
