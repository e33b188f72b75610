"""ISD: the student has the same similarities to other images as its teacher."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import similarity_distillation
from likewise.losses.float32 import unit
from likewise.memory import Queue, ema_update, make_ema_copy
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import moco_v2, weak
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR, 32 px",
        "ours: the authors' settings for ResNet-50, which are the defaults, with a queue for 50,000 images; "
        "they have no such run",
        Recipe("sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' settings for ResNet-50 with a smaller queue",
        Recipe("sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings={"queue": 16384},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "train_isd_plus.py lines 36-57 as README.md lines 52-64 start it, of https://github.com/UMBCvision/ISD "
        "(commit 4bdd603)",
        Recipe(
            "sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=256,
        epochs=200,
        settings={"queue": 128000},
        image_size=224,
    ),
    "imagenet-resnet18": Preset(
        "ImageNet, 224 px, ResNet-18",
        "train_isd.py lines 36-57 as README.md lines 37-46 start it, of https://github.com/UMBCvision/ISD (commit "
        "4bdd603); their rate falls to a "
        "fifth at epochs 140 and 180, here by a cosine",
        Recipe(
            "sgd", learning_rate=0.01, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=256,
        epochs=200,
        settings={
            "projector": False,
            "student_temperature": 0.02,
            "teacher_temperature": 0.02,
            "momentum": 0.999,
            "queue": 128000,
            "teacher_views": moco_v2(),
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class ISD(Method):
    """Tejankar et al. 2021, Sec. 3, https://arxiv.org/abs/2012.09259.

    The two views of an image are never compared with each other: there is no positive pair, only a teacher's
    softmax over similarities to a queue, which the student is to match. Queue rows start as random unit vectors each
    (the authors' first script normalises across rows), and a queue need not be a multiple of the batch.
    """

    card = Card(
        title="ISD",
        paper="Tejankar et al. 2021, https://arxiv.org/abs/2012.09259",
        needs="no labels",
        idea="Matches an EMA teacher's similarities to a queue of images, instead of pushing all other images away.",
        choose_when="some kinds of image are much rarer than others",
        recipe=Recipe(learning_rate=0.05, weight_decay=1e-4),
        presets=PRESETS,
    )

    projector: bool = True
    """whether there is one, D -> 2D -> D/4, before a predictor D/4 -> 2D -> D/4 (the paper's ResNet-50); without it the
    predictor is D -> D -> D (the authors' first script, ResNet-18)"""
    student_temperature: float = 0.1
    """divides the student's cosines (paper: 0.1 for ResNet-50, 0.02 for ResNet-18)"""
    teacher_temperature: float = 0.01
    """divides the teacher's, which is sharper (paper: 0.01 for ResNet-50, 0.02 for ResNet-18)"""
    momentum: float = 0.99
    """of the teacher (paper: 0.99 for ResNet-50, 0.999 for ResNet-18)"""
    queue: int = 4096
    """anchors (paper: 128,000)"""
    student_views: ViewPolicy = field(default_factory=moco_v2)
    """what the student sees"""
    teacher_views: ViewPolicy = field(default_factory=weak)
    """what the teacher sees (paper: crops and flips for ResNet-50, the student's policy for ResNet-18)"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Student with predictor, teacher without, and the queue of anchors."""
        width = encoder.width
        small = max(width // 4, 2)
        if self.projector:
            projector: nn.Module = mlp(width, 2 * width, small)
            predictor, dim = mlp(small, 2 * width, small), small
        else:
            projector, predictor, dim = nn.Identity(), mlp(width, width, width), width
        teacher = make_ema_copy(nn.Sequential(encoder, projector))
        return Nets(
            encoder=encoder,
            projector=projector,
            predictor=predictor,
            teacher=teacher,
            queue=Queue(self.queue, dim),
        )

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The student's and the teacher's embedding of two views."""
        student_view, teacher_view = two_views(
            self.student_views, batch, progress, other=self.teacher_views
        )
        student = unit(nets.predictor(nets.projector(nets.encoder(student_view))))
        with torch.no_grad():
            teacher = unit(nets.teacher(teacher_view))
        return {"student": student, "teacher": teacher}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """KL between the two softmaxes over the anchors."""
        student, teacher = outputs["student"], outputs["teacher"]
        loss = similarity_distillation(
            student,
            teacher,
            nets.queue.rows,
            self.student_temperature,
            self.teacher_temperature,
        )
        return Step(loss, {"feature_std": feature_std(student)}, memory_updates={"queue": teacher})

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Push the teacher's embeddings, then update the EMA teacher."""
        nets.queue.push(step.memory_updates["queue"])
        ema_update(nets.teacher, nn.Sequential(nets.encoder, nets.projector), self.momentum)
