"""UGAN: a classifier that learns from good and from bad fakes is ahead of one that learns from either alone."""

from __future__ import annotations

from typing import Any

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import Classifier
from likewise.methods.ugan import UGAN
from likewise.runs.settings import TrainSettings

SETTINGS = TrainSettings(labels="10", steps=700, batch_size=64, num_evals=7)
NO_GOOD: dict[str, Any] = {"good_weight": 0.0, "discriminator_confidence_weight": 0.0}
NO_BAD: dict[str, Any] = {"bad_weight": 0.0}
NO_GUESSES: dict[str, Any] = {"entropy_weight": 0.0, "class_balance_weight": 0.0}


def error(replicate: Replicate, arm: str) -> float:
    """Share of test images that the arm's classifier takes for another class."""
    return 1 - replicate.score(arm, "classifier_top1")


def over_the_better_half(replicate: Replicate) -> float:
    """By how much UGAN's error is above that of its better half."""
    return error(replicate, "UGAN") - min(error(replicate, "good fakes alone"), error(replicate, "bad fakes alone"))


def arm(name: str, **without: Any) -> Arm:
    """UGAN without some of its terms; networks, views, steps and the classifier's optimiser are the same."""
    return Arm(name, UGAN(width=24, images_per_class=3, **without), SETTINGS, (Classifier(),))


CLAIM = Claim(
    paper=(
        "Li et al. 2019, abstract; the method is reconstructed from Triple-GAN, https://arxiv.org/abs/1703.02291, and "
        "Bad-GAN, https://arxiv.org/abs/1705.09783"
    ),
    sentence="A classifier trained with good and with bad fakes beats those that are trained with one kind of them.",
    check=(
        "Test error of the classifier with 10 labels a class, 700 steps of 64 unlabelled and 30 labelled images where "
        "the parents take about a million, conv4 instead of nine weight-normed convolutions, and narrow generators. "
        "Every arm is UGAN with some weights 0: without bad fakes (Triple-GAN's half), without good ones (Bad-GAN's "
        "half), and with labels alone. A tenth less error than with labels alone is asked for; of digits, which "
        "overlap far less than clothes do, three tenths less would be."
    ),
    arms=(
        arm("UGAN"),
        arm("good fakes alone", **NO_BAD),
        arm("bad fakes alone", **NO_GOOD),
        arm("labels alone", **NO_BAD, **NO_GOOD, **NO_GUESSES),
    ),
    statements=(
        Statement("UGAN's error - that of its better half", over_the_better_half, "<=", 0.01),
        Statement(
            "UGAN's error / that of labels alone",
            lambda r: error(r, "UGAN") / error(r, "labels alone"), "<=", 0.9, unit="number",
        ),
    ),
    minutes=13,
    axis="images",
)  # fmt: skip
