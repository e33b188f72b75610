"""The classifier that a method trains with its encoder, and its agreement with the teacher."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from likewise.data.images import Images
from likewise.errors import LikewiseError
from likewise.evaluation.features import EvalView, extract
from likewise.evaluation.metrics.calibration import calibration_of
from likewise.evaluation.statistics.confidence import WILSON, accuracy, wilson
from likewise.evaluation.statistics.scores import NO_PREDICTIONS, Measurement, Score
from likewise.methods import Method, Nets
from likewise.methods.distillation import Teacher
from likewise.methods.method import classify

OWN = ("classifier_top1", "teacher_top1", "teacher_agreement")
"""scores that `measure_own_classifier` may give"""


def measure_classifier(
    name: str,
    method: Method,
    nets: Nets,
    images: Images,
    labels: Tensor,
    view: EvalView,
    protocol: dict[str, Any],
) -> Measurement:
    """Top-1 accuracy and calibration of the classifier that a method trained with its encoder."""
    logits = extract(OwnClassifier(method, nets), images, torch.arange(len(images)), view)
    predictions = logits.argmax(dim=1)
    interval, count = accuracy(predictions, labels)
    score = Score(name, *interval, count, {**protocol, "interval": WILSON})
    return Measurement(score, predictions, calibration=calibration_of(logits, labels))


class OwnClassifier(nn.Module):
    """A method's own classifier as one module, so that it moves to a device and into eval mode as a whole."""

    def __init__(self, method: Method, nets: Nets) -> None:
        super().__init__()
        self.method = method
        self.nets = nets

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] -> logits [B, classes]."""
        return classify(self.method, self.nets, pixels)


def measure_own_classifier(
    method: Method, nets: Nets, images: Images, labels: Tensor, view: EvalView
) -> list[Measurement]:
    """Accuracy of the method's own classifier, if it has one; and of its teacher, with their agreement.

    Args:
        method: the method.
        nets: its trained networks.
        images: the test images.
        labels: int64 [N], -1 where there is none.
        view: the networks' input from stored pixels.
    """
    if type(method).classifier is Method.classifier:
        return []
    own = measure_classifier("classifier_top1", method, nets, images, labels, view, {})
    teacher = getattr(nets, "teacher", None)
    if not isinstance(teacher, Teacher):
        return [own]
    theirs = measure_classifier(
        "teacher_top1", teacher.method, teacher.nets, images, labels, view, {}
    )
    agreement = teacher_agreement(own.predictions, theirs.predictions)
    return [own, theirs, Measurement(agreement, NO_PREDICTIONS)]


def teacher_agreement(student: Tensor, teacher: Tensor) -> Score:
    """The share of images for which two networks predict the same class, correct or not.

    Students often agree with their teacher far less than their accuracies suggest (Stanton et al. 2021, Sec. 3, "top-1
    agreement", https://arxiv.org/abs/2106.05945).

    Args:
        student: int64 [N], predicted classes.
        teacher: int64 [N], of the same images in the same order.
    """
    if student.shape != teacher.shape or not len(student):
        raise LikewiseError(
            f"Agreement needs predictions of both for the same images; got {len(student):,} and {len(teacher):,}."
        )
    count = len(student)
    share = float((student == teacher).double().mean())
    return Score("teacher_agreement", *wilson(share, count), count, {"interval": WILSON})
