"""HSAKD: a teacher's predictions of class and rotation at every depth teach more than its classes alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from likewise.claims.claim import Arm, Claim, Statement
from likewise.claims.measures import ClassifierAccuracy, Measure, TrainedArm
from likewise.evaluation.features import extract
from likewise.methods import Method, Nets
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.hsakd import HSAKD
from likewise.methods.hsakd_teacher import HSAKDTeacher
from likewise.methods.kd import KD
from likewise.runs.settings import TrainSettings
from likewise.views.image.rotations import class_logits
from likewise.views.policies import fixmatch_weak


class LastAuxiliary(nn.Module):
    """The last auxiliary classifier, reduced to classes: pixels -> [B, classes]."""

    def __init__(self, nets: Nets) -> None:
        super().__init__()
        self.nets = nets

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of the classes of unrotated images."""
        return class_logits(self.nets.auxiliaries[-1](self.nets.encoder.feature_map(pixels)))


@dataclass(frozen=True)
class Auxiliary:
    """The last auxiliary classifier on unrotated images: ``auxiliary_top1``."""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Accuracy on the test images."""
        test, classifier = trained.test, LastAuxiliary(trained.nets)
        rows = torch.arange(len(test.images))
        logits = extract(classifier, test.images, rows, trained.view, device=trained.device)
        right = logits.argmax(dim=1) == test.labels
        return {"auxiliary_top1": float(right.double().mean())}


def arm(
    name: str, method: Method, epochs: float = 8, *more: Measure, teacher: Method | None = None
) -> Arm:
    """One way to train the small encoder with the common recipe; a teacher is larger and is trained as long."""
    settings = TrainSettings(encoder="conv4-half", epochs=epochs, batch_size=256, num_evals=4)
    trains_teacher = None
    if teacher is not None:
        trains_teacher = Arm(f"teacher of {name}", teacher, replace(settings, encoder="conv4"), ())
    return Arm(
        name, method, settings, (ClassifierAccuracy(), *more), KD.card.recipe, trains_teacher
    )


CLAIM = Claim(
    paper="Yang et al. 2021, Sec. 3 and 4, https://arxiv.org/abs/2107.13715",
    sentence="Distilling class and rotation at every depth gives a better student than distilling classes.",
    check=(
        "A student with half the channels; the score is the accuracy of its own classifier after 8 epochs of 9,000 "
        "gray images instead of 240 of CIFAR-100. Each teacher is trained first, for as long as its student: KD's on "
        "labels, HSAKD's on labels, classes and rotations from the start (the paper's stronger teacher, marked by an "
        "asterisk). HSAKD uses each image in four rotations, so one KD arm gets four times the epochs. Some kinds of "
        "clothes look the same when rotated."
    ),
    arms=(
        arm("cross-entropy", CrossEntropy(views=fixmatch_weak())),
        arm("KD", KD(temperature=3), teacher=CrossEntropy(views=fixmatch_weak())),
        arm("KD, four times as long", KD(temperature=3), 32, teacher=CrossEntropy(views=fixmatch_weak())),
        arm("HSAKD", HSAKD(), teacher=HSAKDTeacher()),
        arm("class and rotation", HSAKDTeacher(), 8, Auxiliary()),
    ),
    statements=(
        Statement(
            "HSAKD - KD, equal epochs", lambda r: r.difference("HSAKD", "KD", "classifier_top1"), ">=", 0.005,
        ),
        Statement(
            "HSAKD - KD, equal images forwarded",
            lambda r: r.difference("HSAKD", "KD, four times as long", "classifier_top1"), ">=", 0.0,
        ),
        Statement(
            "auxiliary classifier of class and rotation, no teacher - cross-entropy",
            lambda r: r.score("class and rotation", "auxiliary_top1") - r.score("cross-entropy", "classifier_top1"),
            ">=", 0.0,
        ),
    ),
    minutes=25,
    axis="images",
)  # fmt: skip
