"""UGAN: a classifier trained with good and bad fakes beats one trained with either kind only."""

from __future__ import annotations

from typing import Any

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import ClassifierAccuracy
from likewise.methods.ugan import UGAN
from likewise.runs.settings import TrainSettings

SETTINGS = TrainSettings(labels="10", steps=700, batch_size=64, num_evals=7)
NO_GOOD: dict[str, Any] = {"good_weight": 0.0, "discriminator_confidence_weight": 0.0}
NO_BAD: dict[str, Any] = {"bad_weight": 0.0}
NO_PSEUDO_LABELS: dict[str, Any] = {"entropy_weight": 0.0, "class_balance_weight": 0.0}


def error(replicate: Replicate, arm: str) -> float:
    """Share of test images that the arm's classifier gets wrong."""
    return 1 - replicate.score(arm, "classifier_top1")


def over_better_half(replicate: Replicate) -> float:
    """UGAN's error minus that of its better half."""
    return error(replicate, "UGAN") - min(
        error(replicate, "good fakes only"), error(replicate, "bad fakes only")
    )


def arm(name: str, **without: Any) -> Arm:
    """UGAN without some of its terms; networks, views, steps and the classifier's optimiser are the same."""
    return Arm(
        name, UGAN(width=24, images_per_class=3, **without), SETTINGS, (ClassifierAccuracy(),)
    )


CLAIM = Claim(
    paper=(
        "Li et al. 2019, abstract; the method is reconstructed from Triple-GAN, https://arxiv.org/abs/1703.02291, and "
        "Bad-GAN, https://arxiv.org/abs/1705.09783"
    ),
    sentence="A classifier trained with good and bad fakes beats classifiers trained with one kind of them.",
    check=(
        "Test error of the classifier with 10 labels a class, after 700 steps of 64 unlabelled and 30 labelled images, "
        "where the parent methods take about a million; conv4 instead of nine weight-normed convolutions, and narrow "
        "generators. Every arm is UGAN with some weights 0: without bad fakes (Triple-GAN's half), without good ones "
        "(Bad-GAN's half), and with labels only. UGAN must have a tenth less error than labels only; on digits, which "
        "overlap far less than clothes, the bound would be three tenths."
    ),
    arms=(
        arm("UGAN"),
        arm("good fakes only", **NO_BAD),
        arm("bad fakes only", **NO_GOOD),
        arm("labels only", **NO_BAD, **NO_GOOD, **NO_PSEUDO_LABELS),
    ),
    statements=(
        Statement("error, UGAN - its better half", over_better_half, "<=", 0.01),
        Statement(
            "error, UGAN / labels only",
            lambda r: error(r, "UGAN") / error(r, "labels only"), "<=", 0.9, unit="number",
        ),
    ),
    minutes=13,
    axis="images",
)  # fmt: skip
