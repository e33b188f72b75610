"""Arms that fit a head on the features of a frozen encoder: seconds each, since each image is encoded once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from likewise.adaptation.prototypes import prototype_classifier
from likewise.advice.arm import AdviceArm, ArmCard, Start, Trained
from likewise.advice.heads import (
    Learner,
    NearestNeighbours,
    discriminant_analysis,
    logistic_regression,
    mean_of_heads,
    of_labelled,
    on_first,
    propagated,
)
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
    """Comparisons, and discriminant analysis and means of heads, which can win: the simplest first.

    Class prototypes and label propagation are best with the fewest labels, discriminant analysis with more; features of
    earlier stages help with textures and fine differences, and do harm where scenes differ by what they mean. So means
    are made on both (benchmarks/advise_choice.py). Logistic regression and k-NN are compared since they are usual, and
    means without label propagation since they show what images without a label add.

    Args:
        frozen: the encoder and the features.
        classes: K.
        unlabelled: images without a label.
        few: only what can win.
    """
    make = _Maker(frozen, classes, unlabelled > 0)
    last = make.heads("", lambda learner: on_first(frozen.last, learner))
    regression = make.head("logistic regression", on_first(frozen.last, logistic_regression))
    arms = [regression, make.head("k-NN", NearestNeighbours), *make.means("", last)]
    if frozen.vectors.shape[1] > frozen.last:
        several = make.heads("several stages, ", lambda learner: learner)
        arms += make.means("several stages, ", several)
        arms.append(make.mean(MEAN_OF_ALL, [*last, *several]))
        alone = several[DISCRIMINANT]
    else:
        alone = last[DISCRIMINANT]
    alone.card = replace(alone.card, can_win=True)
    arms.append(alone)
    return [arm for arm in arms if arm.card.can_win] if few else arms


DISCRIMINANT = 1
"""place of discriminant analysis among the heads"""


class _Maker:
    """Makes arms on the features of one encoder, for K classes, with images without a label or without."""

    def __init__(self, frozen: FrozenEncoder, classes: int, unlabelled: bool) -> None:
        self.frozen, self.classes, self.unlabelled = frozen, classes, unlabelled

    def head(self, what: str, learner: Learner, unlabelled: bool = False) -> FrozenArm:
        """One head, which is averaged or compared."""
        card = self._card(what, unlabelled, can_win=False)
        return FrozenArm(card, self.frozen, learner, self.classes)

    def heads(self, stages: str, on: Callable[[Learner], Learner]) -> list[FrozenArm]:
        """Class prototypes, discriminant analysis and, with images without a label, label propagation."""
        made = [
            self.head(f"{stages}class prototypes", on(prototype_classifier)),
            self.head(f"{stages}discriminant analysis", on(discriminant_analysis)),
        ]
        if self.unlabelled:
            made.append(self.head(f"{stages}label propagation", on(propagated), unlabelled=True))
        return made

    def means(self, stages: str, heads: Sequence[FrozenArm]) -> list[FrozenArm]:
        """The mean of the first two, and of all, which can win."""
        without = self.mean(f"{stages}mean of heads", heads[:2], can_win=not self.unlabelled)
        if not self.unlabelled:
            return [without]
        return [without, self.mean(f"{stages}mean with label propagation", heads)]

    def mean(self, what: str, heads: Sequence[FrozenArm], can_win: bool = True) -> FrozenArm:
        """The mean of some heads."""
        card = self._card(what, any(head.card.unlabelled for head in heads), can_win)
        return MeanArm(card, self.frozen, heads, self.classes)

    def _card(self, what: str, unlabelled: bool, can_win: bool) -> ArmCard:
        name = f"{self.frozen.name}, frozen, {what}"
        return ArmCard(name, self.frozen.start, unlabelled, trains_encoder=False, can_win=can_win)


def own_pretraining_arm(frozen: FrozenEncoder, classes: int) -> AdviceArm:
    """Logistic regression on an encoder that was pre-trained on the images without a label."""
    card = ArmCard(
        f"{frozen.name}, logistic regression", frozen.start, unlabelled=True, trains_encoder=False
    )
    return FrozenArm(card, frozen, of_labelled, classes)
