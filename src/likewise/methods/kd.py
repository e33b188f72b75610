"""Knowledge distillation: the labels, and what a larger network thinks of all the other classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED, Batch
from likewise.encoders import Encoder
from likewise.losses import knowledge_distillation
from likewise.methods.cross_entropy import CrossEntropy, label_term
from likewise.methods.method import Method, Nets, Outputs, Progress, Step
from likewise.methods.presets.kd import PRESETS
from likewise.methods.recipe import Recipe
from likewise.methods.taught import Earlier, Taught
from likewise.views.policies import ViewPolicy, fixmatch_weak


@dataclass(frozen=True)
class KD(Taught):
    """Hinton, Vinyals & Dean 2015, Sec. 2, https://arxiv.org/abs/1503.02531.

    Cross-entropy of the labelled rows, and the divergence of the student's softened answers from the teacher's on all
    rows. Any run with a classifier can teach; without one a larger encoder is trained by cross-entropy first.
    """

    title = "KD"
    paper = "Hinton, Vinyals & Dean 2015, https://arxiv.org/abs/1503.02531"
    needs = "all labels"
    idea = "A small classifier learns a large one's softened answers beside the labels."
    choose_when = "labels are there, and a small network should come close to a large one"
    recipe = Recipe(learning_rate=0.2, weight_decay=5e-4)
    presets = PRESETS

    teacher_encoder: str = "auto"
    """network of a teacher that is trained first; auto: the next larger one of the encoder's family"""
    temperature: float = 4.0
    """divides both logits (paper: 1 to 20; 4 in CRD's benchmark, 3 in HSAKD's)"""
    teacher_weight: float = 1.0
    """of the teacher's answers beside the labels (HSAKD's benchmark: 1)"""
    views: ViewPolicy = field(default_factory=fixmatch_weak)
    """shift and flip, the same view for both networks"""

    def earlier(self, given: Method | None) -> Earlier | None:
        """Cross-entropy on a larger encoder."""
        return Earlier(CrossEntropy(views=self.views), self.teacher_encoder) if given is None else None

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a linear classifier; the teacher comes by `adopt`."""
        return Nets(encoder=encoder, classifier=nn.Linear(encoder.width, classes))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Both networks' logits of one view."""
        pixels = self.views(batch.pixels, progress.rng("view", batch)).pixels
        with torch.no_grad():
            believed = nets.teacher(pixels)
        return {"logits": self.classify(nets, pixels), "teacher": believed, "labels": batch.labels}

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """The labels, and the teacher's answers."""
        labels = label_term(rows["logits"], rows["labels"])
        teacher = knowledge_distillation(rows["logits"], rows["teacher"], self.temperature)
        metrics = {"labels": labels.detach(), "teacher": teacher.detach(), "train_top1": train_top1(rows)}
        return Step(labels + self.teacher_weight * teacher, metrics)


def train_top1(rows: Outputs) -> Tensor:
    """Share of the labelled rows whose ``logits`` [B, C] are right."""
    return (rows["logits"].argmax(dim=1) == rows["labels"])[rows["labels"] != UNLABELLED].float().mean()
