"""Arms whose time and answers are known, on a clock that they move themselves."""

import torch
from torch import nn

from likewise.advice.arm import AdviceArm, ArmCard, Trained


class FakeTime:
    """The time in seconds, moved by whoever spends it."""

    def __init__(self):
        self.at = 0.0

    def __call__(self):
        return self.at


class FakeArm(AdviceArm):
    """Right about a share of all images, always the same ones.

    Args:
        name: of the arm.
        time: that it spends.
        cost: seconds of a fit.
        right: bool [N], which images it classifies rightly.
        labels: int64 [N], the truth.
        believed: what it says that a fit costs before there was one; None: the truth.
        **card: of the arm.
    """

    def __init__(self, name, time, cost, right, labels, believed=None, **card):
        self.card = ArmCard(name, "pretrained", **card)
        self.time = time
        self.cost = cost
        self.right = right
        self.labels = labels
        self.believed = believed
        self.fits = []

    def seconds(self, labelled):
        return self.cost if self.believed is None or self.fits else self.believed

    def fit(self, labels, left_out, limit):
        self.fits.append((labels.clone(), left_out))
        self.time.at += min(self.cost, limit)
        return Trained(nn.Identity(), None, nn.Identity()) if self.cost <= limit else None

    def features(self, trained, rows):
        answers = torch.where(self.right, self.labels, 1 - self.labels)[rows]
        return nn.functional.one_hot(answers, 2).float()
