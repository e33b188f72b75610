"""SupCon: label noise harms it no more than cross-entropy."""

from __future__ import annotations

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import ClassifierAccuracy, Linear
from likewise.claims.protocol import LABEL_RECIPE, LABEL_VIEWS, RECIPE, VIEWS
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.supcon import SupCon
from likewise.runs.settings import TrainSettings

NOISE = ", 20% wrong labels"


def pair(noise: float, suffix: str) -> tuple[Arm, Arm]:
    """Both methods on labels of which a share is wrong."""
    contrastive = TrainSettings(steps=250, batch_size=256, num_evals=5, label_noise=noise)
    cross_entropy = TrainSettings(steps=500, batch_size=256, num_evals=5, label_noise=noise)
    return (
        Arm("SupCon" + suffix, SupCon(views=VIEWS), contrastive, (Linear(on_budget=True),), RECIPE),
        Arm(
            "cross-entropy" + suffix,
            CrossEntropy(views=LABEL_VIEWS),
            cross_entropy,
            (ClassifierAccuracy(),),
            LABEL_RECIPE,
        ),
    )


def advantage(replicate: Replicate, suffix: str) -> float:
    """SupCon with a linear probe minus cross-entropy's own classifier."""
    supcon = replicate.score("SupCon" + suffix, "linear_on_budget_top1")
    return supcon - replicate.score("cross-entropy" + suffix, "classifier_top1")


CLAIM = Claim(
    paper="Khosla et al. 2020, introduction, https://arxiv.org/abs/2004.11362",
    sentence="Cross-entropy is sensitive to label noise; SupCon with a linear classifier does at least as well.",
    check=(
        "A fifth of the labels are wrong, the same ones for both. SupCon with a linear probe on the noisy labels, "
        "against the classifier that cross-entropy trained on them; clean test images. Cross-entropy uses one view of "
        "an image and SupCon two, so cross-entropy gets twice the steps: equal views forwarded. SupCon may lose half a "
        "point. The same with true labels isolates the effect of the noise. The paper names the weakness of "
        "cross-entropy in its introduction; its tables are of ImageNet without added noise."
    ),
    arms=(*pair(0.0, ""), *pair(0.2, NOISE)),
    statements=(
        Statement(
            "SupCon - cross-entropy, 20% wrong labels", lambda r: advantage(r, NOISE), ">=", -0.005
        ),
        Statement(
            "the same difference, with noise - without",
            lambda r: advantage(r, NOISE) - advantage(r, ""),
            ">=",
            0.0,
        ),
    ),
    minutes=7,
    axis="images",
)
