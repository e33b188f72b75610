"""HSAKD: a student learns its teacher's joint prediction of class and rotation at every depth."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.losses import knowledge_distillation
from likewise.methods.card import Card
from likewise.methods.cross_entropy import label_term
from likewise.methods.distillation import DistillationMethod, Teacher
from likewise.methods.hsakd_teacher import (
    PRESETS,
    HSAKDTeacher,
    build_with_auxiliaries,
    depths,
    predict_rotations,
)
from likewise.methods.kd import train_top1
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, one_view
from likewise.methods.recipe import Recipe
from likewise.methods.step import sum_of
from likewise.views.policies import fixmatch_weak
from likewise.views.view_policy import ViewPolicy


@dataclass(frozen=True)
class HSAKD(DistillationMethod):
    """Yang et al. 2021, Sec. 3, https://arxiv.org/abs/2107.13715.

    Four rotations of each image go through both networks. Cross-entropy is taken on the unrotated rows alone; the
    teacher's softened predictions teach all rows, at the end (classes) and at every depth (class and rotation). The
    auxiliary classifiers serve training and are not exported. The teacher is a run of hsakd-teacher.
    """

    card = Card(
        title="HSAKD",
        paper="Yang et al. 2021, https://arxiv.org/abs/2107.13715",
        needs="all labels",
        also_needs="a teacher: the folder of a finished run",
        idea="A small classifier learns a large one's predictions for rotated images at every depth: a stronger KD.",
        choose_when="as for kd, and training may take many times as long",
        recipe=Recipe(learning_rate=0.2, weight_decay=5e-4),
        presets=PRESETS,
    )
    trains_teacher = "hsakd-teacher"

    temperature: float = 3.0
    """divides both networks' logits (paper: 3)"""
    views: ViewPolicy = field(default_factory=fixmatch_weak)
    """shift and flip, before the rotations; the same view for both networks"""

    def check_teacher(self, teacher: Method) -> None:
        """Refuse a run without auxiliary classifiers, with the command that trains them.

        Raises:
            LikewiseError: it is a run of another method than hsakd-teacher or hsakd.
        """
        super().check_teacher(teacher)
        if not isinstance(teacher, HSAKDTeacher | HSAKD):
            raise LikewiseError(
                f"HSAKD learns from a teacher with auxiliary classifiers, which {teacher.card.title} does not train. "
                f"Train them on that run's frozen network, then give the new run:\n"
                f"  likewise train DATA --method hsakd-teacher --method.teacher {self.teacher} --out runs/teacher\n"
                f"  likewise train DATA --method hsakd --method.teacher runs/teacher"
            )

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder, classifier, and an auxiliary classifier for each of its stages; the teacher comes by `adopt`."""
        return build_with_auxiliaries(encoder, classes)

    def adopt(self, nets: Nets, teacher: Teacher) -> None:
        """Put the frozen teacher next to the networks that learn; both encoders must have as many stages."""
        stages, teacher_stages = len(nets.auxiliaries), len(teacher.nets.auxiliaries)
        if stages != teacher_stages:
            raise LikewiseError(
                f"The encoder has {stages} stages and its teacher's {teacher_stages}; HSAKD teaches stage by stage. "
                f"Choose --encoder or --method.teacher so that both have as many."
            )
        super().adopt(nets, teacher)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Logits of both networks for the four rotations of a view."""
        pixels = one_view(self.views, batch, progress)
        with torch.no_grad():
            predicted = predict_rotations(nets.teacher.nets, pixels)
        return {
            **predict_rotations(nets, pixels),
            **{f"teacher's {name}": outputs for name, outputs in predicted.items()},
            "labels": batch.labels,
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Cross-entropy of the unrotated rows, and the divergence from the teacher on all rows at every depth."""
        unrotated = {"logits": outputs["logits"][:, 0], "labels": outputs["labels"]}
        losses = {"labels": label_term(unrotated["logits"], unrotated["labels"])}
        for name in ("logits", *depths(outputs)):
            # [4 B, classes], or [4 B, 4 classes] of an auxiliary classifier
            student = outputs[name].flatten(0, 1)
            teacher = outputs[f"teacher's {name}"].flatten(0, 1)
            term = "teacher" if name == "logits" else name
            losses[term] = knowledge_distillation(student, teacher, self.temperature)
        return Step(sum_of(losses), {**losses, "train_top1": train_top1(unrotated)})
