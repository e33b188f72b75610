"""HSAKD: a student learns at every depth what its teacher says of class and rotation at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.heads import auxiliary_heads
from likewise.losses import knowledge_distillation
from likewise.methods.cross_entropy import label_term
from likewise.methods.hsakd_teacher import HSAKDTeacher, answers, depths
from likewise.methods.kd import train_top1
from likewise.methods.method import Method, Nets, Outputs, Progress, Step
from likewise.methods.presets.hsakd import PRESETS
from likewise.methods.recipe import Recipe
from likewise.methods.taught import Earlier, Taught, Teacher
from likewise.views.image.rotations import ROTATIONS
from likewise.views.policies import ViewPolicy, fixmatch_weak


@dataclass(frozen=True)
class HSAKD(Taught):
    """Yang et al. 2021, Sec. 3, https://arxiv.org/abs/2107.13715.

    Four rotations of each image go through both networks. The labels teach the unturned rows alone; the teacher's
    softened answers teach all rows, at the end (classes) and at every depth (class and rotation). The auxiliary
    classifiers serve learning and are not exported. A run of another method with a classifier may be given as the
    teacher too: it is then given auxiliary classifiers first.
    """

    title = "HSAKD"
    paper = "Yang et al. 2021, https://arxiv.org/abs/2107.13715"
    needs = "all labels"
    idea = "A small classifier learns a large one's answers to turned images, at every depth; KD's stronger form."
    choose_when = "as for kd, and training may take many times as long"
    recipe = Recipe(learning_rate=0.2, weight_decay=5e-4)
    presets = PRESETS

    teacher_encoder: str = "auto"
    """network of a teacher that is trained first; auto: the next larger one of the encoder's family"""
    temperature: float = 3.0
    """divides both networks' logits (paper: 3)"""
    views: ViewPolicy = field(default_factory=fixmatch_weak)
    """shift and flip, before the rotations; the same view for both networks"""

    def earlier(self, given: Method | None) -> Earlier | None:
        """HSAKD's teacher, on the network of the run that was given or else on a larger encoder."""
        if isinstance(given, HSAKDTeacher):
            return None
        return Earlier(HSAKDTeacher(teacher=self.teacher, views=self.views), self.teacher_encoder)

    def check(self, given: Method) -> None:
        """What can teach is what `HSAKDTeacher` can be made of."""
        HSAKDTeacher().check(given)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder, classifier, and an auxiliary classifier for each of its stages; the teacher comes by `adopt`."""
        classifier = nn.Linear(encoder.width, classes)
        return Nets(encoder=encoder, classifier=classifier, auxiliaries=auxiliary_heads(encoder, ROTATIONS * classes))

    def adopt(self, nets: Nets, teacher: Teacher) -> None:
        """Put the teacher beside what is learned; both must have as many stages."""
        mine, theirs = len(nets.auxiliaries), len(teacher.nets.auxiliaries)
        if mine != theirs:
            raise LikewiseError(
                f"The encoder has {mine} stages and its teacher {theirs}; HSAKD teaches stage by stage. Choose "
                f"--encoder or --method.teacher-encoder so that both have as many."
            )
        super().adopt(nets, teacher)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """All answers of both networks to the four rotations of a view."""
        pixels = self.views(batch.pixels, progress.rng("view", batch)).pixels
        with torch.no_grad():
            believed = answers(nets.teacher.nets, pixels)
        return {
            **answers(nets, pixels),
            **{f"teacher's {name}": rows for name, rows in believed.items()},
            "labels": batch.labels,
        }

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """The labels of the unturned rows, and the teacher's answers to all rows at the end and at every depth."""
        unturned = {"logits": rows["logits"][:, 0], "labels": rows["labels"]}
        losses = {"labels": label_term(unturned["logits"], unturned["labels"])}
        for name in ("logits", *depths(rows)):
            mine, theirs = rows[name].flatten(0, 1), rows[f"teacher's {name}"].flatten(0, 1)
            losses["teacher" if name == "logits" else name] = knowledge_distillation(mine, theirs, self.temperature)
        metrics = {name: loss.detach() for name, loss in losses.items()}
        return Step(torch.stack(list(losses.values())).sum(), {**metrics, "train_top1": train_top1(unturned)})
