"""SupCon: it is less sensitive to its learning rate than cross-entropy."""

from __future__ import annotations

from dataclasses import replace
from statistics import pstdev

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import ClassifierAccuracy, Linear
from likewise.claims.protocol import LABEL_RECIPE, LABEL_VIEWS, RECIPE, VIEWS
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.supcon import SupCon
from likewise.runs.settings import TrainSettings

FACTORS = (0.25, 1, 4)


def supcon(factor: float) -> Arm:
    """SupCon at a multiple of its learning rate."""
    recipe = replace(RECIPE, learning_rate=factor * RECIPE.learning_rate)
    settings = TrainSettings(steps=200, batch_size=256, num_evals=4)
    return Arm(f"SupCon, rate x{factor:g}", SupCon(views=VIEWS), settings, (Linear(),), recipe)


def cross_entropy(factor: float) -> Arm:
    """Cross-entropy at a multiple of its learning rate, with twice the steps, since it uses one view of an image."""
    recipe = replace(LABEL_RECIPE, learning_rate=factor * LABEL_RECIPE.learning_rate)
    settings = TrainSettings(steps=400, batch_size=256, num_evals=4)
    return Arm(
        f"cross-entropy, rate x{factor:g}",
        CrossEntropy(views=LABEL_VIEWS),
        settings,
        (ClassifierAccuracy(),),
        recipe,
    )


def std_over_rates(replicate: Replicate) -> float:
    """Standard deviation of accuracy over the rates, SupCon's minus cross-entropy's."""
    contrastive = [
        replicate.score(f"SupCon, rate x{factor:g}", "linear_top1") for factor in FACTORS
    ]
    baseline = [
        replicate.score(f"cross-entropy, rate x{factor:g}", "classifier_top1") for factor in FACTORS
    ]
    return pstdev(contrastive) - pstdev(baseline)


CLAIM = Claim(
    paper="Khosla et al. 2020, abstract, https://arxiv.org/abs/2004.11362",
    sentence="SupCon is more stable than cross-entropy when hyperparameters change, the learning rate among them.",
    check=(
        "Both at a quarter of their learning rate, at their rate and at four times it, with all labels; the standard "
        "deviation of the three accuracies on test images. Cross-entropy uses one view of an image and gets twice the "
        "steps: equal views forwarded. The middle rates were chosen on validation images. Only the learning rate "
        "changes; the paper changes views, optimisers and batch sizes too."
    ),
    arms=(*map(supcon, FACTORS), *map(cross_entropy, FACTORS)),
    statements=(
        Statement(
            "standard deviation over rates, SupCon - cross-entropy", std_over_rates, "<=", 0.0
        ),
    ),
    minutes=8,
    axis="images",
)
