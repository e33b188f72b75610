"""Knowledge distillation: a student learns from the labels and from a larger network's softened predictions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED, Batch
from likewise.encoders import Encoder
from likewise.losses import knowledge_distillation
from likewise.methods.cross_entropy import label_term
from likewise.methods.distillation import DistillationMethod
from likewise.methods.method import Nets, Outputs, Progress, Step
from likewise.methods.presets.kd import PRESETS
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy, fixmatch_weak


@dataclass(frozen=True)
class KD(DistillationMethod):
    """Hinton, Vinyals & Dean 2015, Sec. 2, https://arxiv.org/abs/1503.02531.

    Cross-entropy of the labelled rows, and the divergence of the student's softened predictions from the teacher's on
    all rows. Any finished run with a classifier can teach.
    """

    title = "KD"
    paper = "Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531"
    needs = "all labels"
    idea = "A small classifier learns from the labels and from a large one's softened predictions."
    choose_when = "labels are there, and a small network should come close to a large one"
    recipe = Recipe(learning_rate=0.2, weight_decay=5e-4)
    presets = PRESETS

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
        pixels = self.views(batch.pixels, progress.rng("view", batch)).pixels
        with torch.no_grad():
            teacher_logits = nets.teacher(pixels)  # [B, classes]
        return {"logits": self.classify(nets, pixels), "teacher": teacher_logits, "labels": batch.labels}

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """Cross-entropy of the labels plus the weighted divergence from the teacher."""
        labels = label_term(rows["logits"], rows["labels"])
        teacher = knowledge_distillation(rows["logits"], rows["teacher"], self.temperature)
        metrics = {"labels": labels.detach(), "teacher": teacher.detach(), "train_top1": train_top1(rows)}
        return Step(labels + self.teacher_weight * teacher, metrics)


def train_top1(rows: Outputs) -> Tensor:
    """Share of the labelled rows whose ``logits`` [B, C] are right."""
    return (rows["logits"].argmax(dim=1) == rows["labels"])[rows["labels"] != UNLABELLED].float().mean()
