"""SupCon: wrong labels do it no more harm than they do cross-entropy."""

from __future__ import annotations

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import Classifier, Linear
from likewise.claims.protocol import LABEL_RECIPE, LABEL_VIEWS, RECIPE, VIEWS
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.supcon import SupCon
from likewise.runs.settings import TrainSettings

NOISE = ", 20 % wrong labels"


def pair(noise: float, suffix: str) -> tuple[Arm, Arm]:
    """Both ways on labels of which a share is wrong."""
    contrastive = TrainSettings(steps=250, batch_size=256, num_evals=5, label_noise=noise)
    plain = TrainSettings(steps=500, batch_size=256, num_evals=5, label_noise=noise)
    return (
        Arm("SupCon" + suffix, SupCon(views=VIEWS), contrastive, (Linear(shown=True),), RECIPE),
        Arm("cross-entropy" + suffix, CrossEntropy(views=LABEL_VIEWS), plain, (Classifier(),), LABEL_RECIPE),
    )


def lead(replicate: Replicate, suffix: str) -> float:
    """SupCon and a linear probe over cross-entropy's own classifier."""
    ours, theirs = "SupCon" + suffix, "cross-entropy" + suffix
    return replicate.score(ours, "linear_on_budget_top1") - replicate.score(theirs, "classifier_top1")


CLAIM = Claim(
    paper="Khosla et al. 2020, introduction, https://arxiv.org/abs/2004.11362",
    sentence="Cross-entropy is sensitive to wrong labels; SupCon and a linear classifier do at least as well on them.",
    check=(
        "A fifth of the labels are wrong, the same ones for both. SupCon, then a linear probe on the labels shown, "
        "against the classifier that cross-entropy trained on them; clean test images. Cross-entropy sees one view "
        "of an image where SupCon sees two, so it gets twice the steps: equal views forwarded. Half a point is "
        "allowed. The same with true labels tells the noise's part. The paper names the weakness of cross-entropy "
        "in its introduction; its tables are of ImageNet without added noise."
    ),
    arms=(*pair(0.0, ""), *pair(0.2, NOISE)),
    statements=(
        Statement("SupCon - cross-entropy, 20 % wrong labels", lambda r: lead(r, NOISE), ">=", -0.005),
        Statement("what SupCon gains on cross-entropy by the noise", lambda r: lead(r, NOISE) - lead(r, ""), ">=", 0.0),
    ),
    minutes=7,
    axis="images",
)
