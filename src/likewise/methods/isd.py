"""ISD: see the same likenesses among other images as your teacher does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import similarity_distillation
from likewise.losses.float32 import unit
from likewise.memory import Queue, follow, frozen_copy
from likewise.methods.method import Method, Nets, Progress, Rows, Step, spread, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy, strong, weak

PRESETS = {
    "plus": {"student_temperature": 0.1, "teacher_temperature": 0.01, "momentum": 0.99},
    "resnet18": {"student_temperature": 0.02, "teacher_temperature": 0.02, "momentum": 0.999},
}
"""What the authors' two scripts set: temperatures of student and teacher, and the teacher's momentum."""


@dataclass(frozen=True)
class ISD(Method):
    """Tejankar et al. 2021, Sec. 3, https://arxiv.org/abs/2012.09259.

    The two views of an image are never compared with each other: there is no positive pair, only a teacher's
    softmax over similarities to a queue, which the student is to match. Queue rows start as random unit vectors each
    (the authors' first script normalises across rows), and a queue need not be a multiple of the batch.
    """

    title = "ISD"
    paper = "Tejankar et al. 2021, https://arxiv.org/abs/2012.09259"
    needs = "no labels"
    idea = "Distils soft likenesses instead of treating all others as different; made for unbalanced unlabelled data."
    recipe = Recipe(learning_rate=0.05, weight_decay=1e-4)

    preset: Literal["plus", "resnet18"] = "plus"
    """plus: projector and predictor D -> 2D -> D/4, strong student and weak teacher, as for the paper's ResNet-50;
    resnet18: no projector, predictor D -> D -> D, two strong views, as the authors' first script"""
    student_temperature: float | None = None
    """divides the student's cosines; None: the preset's, 0.1 (plus) or 0.02 (resnet18)"""
    teacher_temperature: float | None = None
    """divides the teacher's; None: the preset's, 0.01 (plus, sharper than the student's) or 0.02 (resnet18)"""
    momentum: float | None = None
    """of the teacher; None: the preset's, 0.99 (plus) or 0.999 (resnet18)"""
    queue: int = 4096
    """anchors (paper: 128,000)"""
    student_views: ViewPolicy = field(default_factory=strong)
    """what the student sees"""
    teacher_views: ViewPolicy = field(default_factory=weak)
    """what the teacher sees under the plus preset; under resnet18 it sees the student's policy"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Student with predictor, teacher without, and the queue of anchors."""
        width = encoder.width
        small = max(width // 4, 2)
        if self.preset == "plus":
            projector: nn.Module = mlp(width, 2 * width, small)
            predictor, dim = mlp(small, 2 * width, small), small
        else:
            projector, predictor, dim = nn.Identity(), mlp(width, width, width), width
        teacher = frozen_copy(nn.Sequential(encoder, projector))
        return Nets(
            encoder=encoder,
            projector=projector,
            predictor=predictor,
            teacher=teacher,
            queue=Queue(self.queue, dim),
        )

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Rows:
        """The student's and the teacher's embedding of two views."""
        teacher_views = self.teacher_views if self.preset == "plus" else self.student_views
        seen, shown = two_views(self.student_views, batch, progress, other=teacher_views)
        student = unit(nets.predictor(nets.projector(nets.encoder(seen))))
        with torch.no_grad():
            teacher = unit(nets.teacher(shown))
        return {"student": student, "teacher": teacher}

    def contrast(self, nets: Nets, rows: Rows, progress: Progress) -> Step:
        """KL between the two softmaxes over the anchors."""
        student, teacher = rows["student"], rows["teacher"]
        loss = similarity_distillation(
            student,
            teacher,
            nets.queue.rows,
            self._or_preset("student_temperature"),
            self._or_preset("teacher_temperature"),
        )
        return Step(loss, {"spread": spread(student)}, remember={"queue": teacher.detach()})

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Enqueue the teacher's embeddings, then let it follow."""
        nets.queue.push(step.remember["queue"])
        follow(nets.teacher, nn.Sequential(nets.encoder, nets.projector), self._or_preset("momentum"))

    def _or_preset(self, name: str) -> float:
        given = getattr(self, name)
        return PRESETS[self.preset][name] if given is None else given
