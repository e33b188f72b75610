"""Knowledge distillation: a student learns from the labels and from a larger network's softened predictions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.losses import knowledge_distillation
from likewise.methods.card import Card, Preset
from likewise.methods.cross_entropy import label_term, share_of_right
from likewise.methods.distillation import DistillationMethod
from likewise.methods.method import Nets, Outputs, Progress, Step, classify, one_view
from likewise.methods.recipe import Recipe
from likewise.views.policies import fixmatch_weak
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-100, 32 px",
        "train_baseline_cifar.py lines 28-39 of https://github.com/winycg/HSAKD (commit 28c8dc2): rate 0.05 for 64 "
        "images, 240 epochs; their "
        "rate falls in steps, ours by a cosine",
        Recipe(
            "sgd",
            learning_rate=0.2,
            nesterov=True,
            weight_decay=5e-4,
            warm_up=0.0,
            exclude_bias_and_norm=False,
        ),
        batch_size=64,
        epochs=240,
        settings={"temperature": 3.0},
    ),
    "middle": Preset(
        "images of 96 to 128 px",
        "ours: CIFAR-100's settings with ImageNet's decay",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4),
        batch_size=128,
        epochs=200,
        settings={"temperature": 3.0},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-34 to ResNet-18",
        "train_student_imagenet.py lines 34-43 of https://github.com/winycg/HSAKD (commit 28c8dc2); their rate falls "
        "in steps, ours by a cosine",
        Recipe(
            "sgd", learning_rate=0.1, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=256,
        epochs=100,
        settings={"temperature": 3.0, "views": ViewPolicy()},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class KD(DistillationMethod):
    """Hinton, Vinyals & Dean 2015, Sec. 2, https://arxiv.org/abs/1503.02531.

    Cross-entropy of the labelled rows, and the divergence of the student's softened predictions from the teacher's on
    all rows. Any finished run with a classifier can teach.
    """

    card = Card(
        title="KD",
        paper="Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531",
        needs="all labels",
        also_needs="a teacher: the folder of a finished run",
        idea="A small classifier learns from the labels and from a large one's softened predictions.",
        choose_when="labels are there, and a small network should come close to a large one",
        recipe=Recipe(learning_rate=0.2, weight_decay=5e-4),
        presets=PRESETS,
    )

    temperature: float = 4.0
    """divides both logits (paper: 1 to 20; 4 in CRD's benchmark, 3 in HSAKD's)"""
    teacher_weight: float = 1.0
    """weight of the teacher's term; the labels' is 1 (HSAKD's benchmark: 1)"""
    views: ViewPolicy = field(default_factory=fixmatch_weak)
    """shift and flip, the same view for both networks"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a linear classifier; the teacher comes by `adopt`."""
        return Nets(encoder=encoder, classifier=nn.Linear(encoder.width, classes))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Both networks' logits of one view."""
        pixels = one_view(self.views, batch, progress)
        with torch.no_grad():
            teacher_logits = nets.teacher(pixels)  # [B, classes]
        return {
            "logits": classify(self, nets, pixels),
            "teacher": teacher_logits,
            "labels": batch.labels,
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Cross-entropy of the labels plus the weighted divergence from the teacher."""
        labels = label_term(outputs["logits"], outputs["labels"])
        teacher = knowledge_distillation(outputs["logits"], outputs["teacher"], self.temperature)
        metrics = {"labels": labels, "teacher": teacher, "train_top1": train_top1(outputs)}
        return Step(labels + self.teacher_weight * teacher, metrics)


def train_top1(outputs: Outputs) -> Tensor:
    """Share of the labelled rows whose ``logits`` [B, C] are right."""
    return share_of_right(outputs["logits"], outputs["labels"])
