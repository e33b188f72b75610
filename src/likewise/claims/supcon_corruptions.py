"""SupCon: it loses no more accuracy on corrupted images than cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import TrainedArm
from likewise.claims.protocol import LABEL_RECIPE, LABEL_VIEWS, RECIPE, VIEWS
from likewise.evaluation.corruptions.robustness import EncoderWithProbe, Robustness
from likewise.evaluation.evaluate_features import Examples
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.own_classifier import OwnClassifier
from likewise.evaluation.statistics.scores import Features
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.supcon import SupCon
from likewise.runs.settings import TrainSettings


@dataclass(frozen=True)
class CorruptedAccuracy:
    """``clean_top1`` and ``corrupted_top1`` of the same test images, the latter a mean over kinds and severities.

    The classifier is the method's own, or a linear probe fitted on clean features and all true labels.
    """

    probe: bool
    """whether to use a probe"""
    images: int = 1000
    """test images, each under 75 corruptions"""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Both accuracies."""
        prepared = trained.prepared
        if self.probe:
            bank = Features(trained.features("train"), prepared.train.labels)
            probe = LinearProbe(seed=prepared.settings.seed).fit(bank)
            classifier = EncoderWithProbe(trained.nets.encoder, probe)
        else:
            classifier = OwnClassifier(prepared.method, trained.nets)
        test = trained.test
        rows = torch.arange(len(test.images))
        examples = Examples(
            images=test.images, index=rows, labels=test.labels, ids=test.manifest.ids
        )
        robustness = Robustness(images=self.images)
        measured = robustness.evaluate({"arm": classifier}, examples, trained.view, trained.device)[
            "arm"
        ]
        return {"clean_top1": measured.clean, "corrupted_top1": float(measured.accuracy.mean())}


SUPCON, CROSS_ENTROPY = "SupCon", "cross-entropy"


def settings(steps: int) -> TrainSettings:
    """So many steps, with all labels."""
    return TrainSettings(steps=steps, batch_size=256, num_evals=5)


def drop(replicate: Replicate, arm: str) -> float:
    """Accuracy on clean images minus accuracy on corrupted ones."""
    return replicate.score(arm, "clean_top1") - replicate.score(arm, "corrupted_top1")


CLAIM = Claim(
    paper="Khosla et al. 2020, abstract, https://arxiv.org/abs/2004.11362",
    sentence="SupCon is more robust to natural corruptions of images than cross-entropy.",
    check=(
        "All labels. SupCon with a linear probe on clean features, against the classifier that cross-entropy trained; "
        "1,000 test images under fifteen corruptions at five severities, implemented after ImageNet-C. Cross-entropy "
        "uses one view of an image and SupCon two, so cross-entropy gets twice the steps: equal views forwarded. Both "
        "use crops, flips, brightness and contrast, cross-entropy with larger crops. The paper gives mCE on "
        "ImageNet-C, which divides by AlexNet's errors; here accuracies are compared."
    ),
    arms=(
        Arm(SUPCON, SupCon(views=VIEWS), settings(350), (CorruptedAccuracy(probe=True),), RECIPE),
        Arm(CROSS_ENTROPY, CrossEntropy(views=LABEL_VIEWS), settings(700), (CorruptedAccuracy(probe=False),),
            LABEL_RECIPE),
    ),
    statements=(
        Statement("accuracy lost on corrupted images, SupCon - cross-entropy",
                  lambda r: drop(r, SUPCON) - drop(r, CROSS_ENTROPY), "<=", 0.0),
        Statement("accuracy on corrupted images, SupCon - cross-entropy",
                  lambda r: r.difference(SUPCON, CROSS_ENTROPY, "corrupted_top1"), ">=", 0.0),
    ),
    minutes=8,
    axis="images",
)  # fmt: skip
