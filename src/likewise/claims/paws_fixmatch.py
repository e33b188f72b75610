"""PAWS: pseudo-labels from labelled neighbours learn faster than a classifier's own, and do not collapse."""

from __future__ import annotations

import math

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import ClassifierAccuracy, Linear
from likewise.claims.protocol import RECIPE, VIEWS
from likewise.claims.pseudo_labels import Entropy
from likewise.methods.fixmatch import FixMatch
from likewise.methods.paws import PAWS
from likewise.runs.settings import TrainSettings

SETTINGS = TrainSettings(labels="9", steps=300, batch_size=256, num_evals=6)
PER_CLASS = 9
WITHOUT = "PAWS without its entropy term"


def gain(replicate: Replicate) -> float:
    """PAWS' probe on its label budget, minus the better of FixMatch's classifier and such a probe."""
    fixmatch = max(
        replicate.score("FixMatch", name) for name in ("classifier_top1", "linear_on_budget_top1")
    )
    return replicate.score("PAWS", "linear_on_budget_top1") - fixmatch


def paws(name: str, mean_entropy_weight: float) -> Arm:
    """PAWS with or without the mean-entropy term."""
    rule = PAWS(images_per_class=PER_CLASS, mean_entropy_weight=mean_entropy_weight, views=VIEWS)
    return Arm(name, rule, SETTINGS, (Linear(on_budget=True), Entropy()), RECIPE)


CLAIM = Claim(
    paper="Assran et al. 2021, Sec. 4 and 5, https://arxiv.org/abs/2104.13963",
    sentence="PAWS learns more from the same images than self-training, and provably does not collapse.",
    check=(
        "Test accuracy with 9 labels a class (1%) and equal images forwarded: PAWS by a linear probe on those labels, "
        "FixMatch by the better of such a probe and its own classifier; 8.5 epochs of 9,000 images instead of 100 to "
        "300 of ImageNet. The entropy is that of a batch's mean sharpened prediction."
    ),
    arms=(
        paws("PAWS", 1.0),
        paws(WITHOUT, 0.0),
        Arm("FixMatch", FixMatch(images_per_class=PER_CLASS), SETTINGS, (ClassifierAccuracy(), Linear(on_budget=True))),
    ),
    statements=(
        Statement("PAWS - FixMatch, equal images", gain, ">=", 0.0),
        Statement(
            "entropy of PAWS' mean prediction / ln 10",
            lambda r: r.score("PAWS", "entropy") / math.log(10), ">=", 0.9, unit="number",
        ),
        Statement(
            "entropy with the term - without",
            lambda r: r.difference("PAWS", WITHOUT, "entropy"), ">", 0.0, unit="number",
        ),
    ),
    minutes=12,
    axis="images",
)  # fmt: skip
