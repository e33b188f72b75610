"""Arms that fit a head on the features of a frozen encoder: seconds each, since each image is encoded once."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from likewise.adaptation.prototypes import prototype_classifier
from likewise.advice.arm import AdviceArm, ArmCard, Start, Trained
from likewise.advice.heads import (
    Learner,
    NearestNeighbours,
    logistic_regression,
    mean_of_heads,
    of_labelled,
    on_first,
    propagated,
)
from likewise.classification import discriminant_head
from likewise.data.batch import UNLABELLED
from likewise.encoders import Encoder, EncoderSettings


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
    last: int
    """how many of the D columns are the features of the last stage; the others are those of earlier stages"""
    heads: dict[tuple[str, bytes], nn.Module] = field(default_factory=dict)
    """those that were fitted already, by the arm's name and the labels"""


MEAN_OF_ALL = "mean of all heads"
"""part of the names of arms that average every head, with images without a label or without"""

PRIOR_OF_MEANS = 2.0
"""of the log probability of all held-out labels together: by so much more must another arm be better than a mean"""

LEFT_OUT = -2
"""in the place of a label: the image may not be used at all"""


class FrozenArm(AdviceArm):
    """A head on frozen features.

    Args:
        card: what it is.
        frozen: the encoder and the features.
        learner: how the head is fitted.
        classes: K.
    """

    def __init__(
        self, card: ArmCard, frozen: FrozenEncoder, learner: Learner, classes: int
    ) -> None:
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

    @staticmethod
    def separated(shown: Tensor) -> tuple[Tensor, Tensor]:
        """Images that may not be used, int64 [H], and labels int64 [N], of labels with -2 for such images."""
        return (shown == LEFT_OUT).nonzero().flatten(), shown.where(shown != LEFT_OUT, UNLABELLED)

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

    def __init__(
        self, card: ArmCard, frozen: FrozenEncoder, arms: Sequence[FrozenArm], classes: int
    ) -> None:
        super().__init__(card, frozen, logistic_regression, classes)
        self.arms = arms

    def head(self, shown: Tensor) -> nn.Module:
        """The mean of the other arms' heads for the same labels."""
        left_out, labels = self.separated(shown)
        heads = [arm.fit(labels, left_out, math.inf).head for arm in self.arms]
        return mean_of_heads(
            heads, self.frozen.vectors[shown >= 0], shown[shown >= 0].unique(), self.classes
        )


def frozen_arms(
    frozen: FrozenEncoder, classes: int, unlabelled: int, few: bool = False
) -> Sequence[FrozenArm]:
    """Logistic regression, k-NN and means of heads, on the last features and on those of several stages.

    Prototypes and label propagation are best with the fewest labels, logistic regression and discriminant analysis with
    more; features of earlier stages help with textures and fine differences, and do harm where scenes differ by what
    they mean. Means lose least, so they are what is chosen from, besides what is much better on some data
    (benchmarks/advise_coverage.py).

    Args:
        frozen: the encoder and the features.
        classes: K.
        unlabelled: images without a label.
        few: the means alone, and without label propagation, which takes most of the time.
    """
    several = frozen.vectors.shape[1] > frozen.last

    def arm(
        what: str, learner: Learner, unlabelled: bool = False, can_win: bool = True
    ) -> FrozenArm:
        card = ArmCard(f"{frozen.name}, frozen, {what}", frozen.start, unlabelled, False, can_win)
        return FrozenArm(card, frozen, learner, classes)

    def mean(what: str, heads: Sequence[FrozenArm]) -> FrozenArm:
        unlabelled = any(head.card.unlabelled for head in heads)
        card = ArmCard(
            f"{frozen.name}, frozen, {what}", frozen.start, unlabelled, False, prior=PRIOR_OF_MEANS
        )
        return MeanArm(card, frozen, heads, classes)

    regression = arm("logistic regression", on_first(frozen.last, logistic_regression))
    nearest = arm("k-NN", NearestNeighbours, can_win=False)
    own = [regression, arm("class prototypes", on_first(frozen.last, prototype_classifier))]
    spread = [arm("label propagation", on_first(frozen.last, propagated), unlabelled=True)]
    spread = spread if unlabelled and not few else []
    listed = [mean("mean of heads", own)]
    if spread:
        listed.append(mean("mean with label propagation", [*own, *spread]))
    if several:
        alone = ArmCard(
            f"{frozen.name}, frozen, several stages, discriminant analysis",
            frozen.start,
            False,
            False,
        )
        discriminant = arm("discriminant analysis", discriminant_head)
        joined = [
            arm("several stages, logistic regression", logistic_regression),
            arm("several stages, class prototypes", prototype_classifier),
        ]
        # At unit deviation, which a temperature suits.
        listed.append(MeanArm(alone, frozen, [discriminant], classes))
        listed.append(mean("several stages, mean of heads", [*joined, discriminant]))
        if spread:
            also = arm("several stages, label propagation", propagated, unlabelled=True)
            listed.append(mean("several stages, mean with label propagation", [*joined, also]))
        listed.append(mean(MEAN_OF_ALL, [*own, *spread, *joined, discriminant]))
    return listed if few else [regression, nearest, *listed]


def own_pretraining_arm(frozen: FrozenEncoder, classes: int) -> AdviceArm:
    """Logistic regression on an encoder that was pre-trained on the images without a label."""
    card = ArmCard(
        f"{frozen.name}, logistic regression", frozen.start, unlabelled=True, trains_encoder=False
    )
    return FrozenArm(card, frozen, of_labelled, classes)
