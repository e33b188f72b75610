"""SupCon: corrupted images cost it no more accuracy than they cost cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import TrainedArm
from likewise.claims.protocol import LABEL_RECIPE, LABEL_VIEWS, RECIPE, VIEWS
from likewise.evaluation.corruptions.robustness import ProbedEncoder, Robustness
from likewise.evaluation.evaluate_features import Examples
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.own_classifier import OwnClassifier
from likewise.evaluation.statistics.scores import Features
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.supcon import SupCon
from likewise.runs.settings import TrainSettings


@dataclass(frozen=True)
class Corrupted:
    """``clean_top1`` and ``corrupted_top1`` of the same test images, the latter a mean over kinds and severities.

    Asked is the method's own classifier, or a linear probe that was fitted on clean features and all true labels.
    """

    probe: bool
    """whether it is a probe"""
    images: int = 1000
    """test images, each asked 75 times"""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Both accuracies."""
        prepared = trained.prepared
        if self.probe:
            bank = Features(trained.features("train"), prepared.train.labels)
            classifier = ProbedEncoder(trained.nets.encoder, LinearProbe(seed=prepared.settings.seed).fit(bank))
        else:
            classifier = OwnClassifier(prepared.method, trained.nets)
        test = trained.test
        examples = Examples(
            images=test.images, index=torch.arange(len(test.images)), labels=test.labels, ids=test.manifest.ids
        )
        asked = Robustness(images=self.images).ask({"it": classifier}, examples, trained.view, trained.device)["it"]
        return {"clean_top1": asked.clean, "corrupted_top1": float(asked.accuracy.mean())}


SUPCON, PLAIN = "SupCon", "cross-entropy"


def drop(replicate: Replicate, arm: str) -> float:
    """Accuracy that the corruptions cost."""
    return replicate.score(arm, "clean_top1") - replicate.score(arm, "corrupted_top1")


CLAIM = Claim(
    paper="Khosla et al. 2020, abstract, https://arxiv.org/abs/2004.11362",
    sentence="SupCon is more robust to natural corruptions of images than cross-entropy.",
    check=(
        "All labels. SupCon and a linear probe on clean features, against the classifier that cross-entropy "
        "trained; 1,000 test images under fifteen corruptions at five severities, made anew after ImageNet-C. "
        "Cross-entropy sees one view of an image where SupCon sees two, so it gets twice the steps: equal views "
        "forwarded. Both see crops, flips, brightness and contrast, cross-entropy with larger crops. The paper "
        "gives mCE on ImageNet-C, which divides by AlexNet's errors; here accuracies are compared."
    ),
    arms=(
        Arm(SUPCON, SupCon(views=VIEWS), TrainSettings(steps=350, batch_size=256, num_evals=5), (Corrupted(True),),
            RECIPE),
        Arm(PLAIN, CrossEntropy(views=LABEL_VIEWS), TrainSettings(steps=700, batch_size=256, num_evals=5),
            (Corrupted(False),), LABEL_RECIPE),
    ),
    statements=(
        Statement("what corruptions cost, SupCon - cross-entropy",
                  lambda r: drop(r, SUPCON) - drop(r, PLAIN), "<=", 0.0),
        Statement("accuracy on corrupted images, SupCon - cross-entropy",
                  lambda r: r.ahead(SUPCON, PLAIN, "corrupted_top1"), ">=", 0.0),
    ),
    minutes=8,
    axis="images",
)  # fmt: skip
