"""Cross-entropy: labels only, the baseline that every other method has to beat."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED, Batch
from likewise.encoders import Encoder
from likewise.losses import LossInputError
from likewise.losses.float32 import in_float32
from likewise.methods.method import Method, Nets, Outputs, Progress, Step
from likewise.methods.presets.cross_entropy import PRESETS
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy, weak


@dataclass(frozen=True)
class CrossEntropy(Method):
    """A linear classifier on the encoder, both trained on the labelled images; unlabelled ones are left out."""

    title = "Cross-entropy"
    paper = "the supervised baseline of Khosla et al. 2020, Table 2, https://arxiv.org/abs/2004.11362"
    needs = "all labels"
    only_labelled = True
    idea = "Trains a classifier on the labelled images alone."
    choose_when = "a baseline is wanted that the others have to beat"
    recipe = Recipe(learning_rate=0.1, weight_decay=5e-4)
    presets = PRESETS

    label_smoothing: float = 0.0
    """share of the target spread over all classes"""
    views: ViewPolicy = field(default_factory=weak)
    """crop and flip, as the baseline of SupCon's code"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a linear classifier that starts at zero, so that the first loss is ln(classes)."""
        classifier = nn.Linear(encoder.width, classes)
        nn.init.zeros_(classifier.weight)
        nn.init.zeros_(classifier.bias)
        return Nets(encoder=encoder, classifier=classifier)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """One view, its logits."""
        view = self.views(batch.pixels, progress.rng("view", batch))
        return {"logits": nets.classifier(nets.encoder(view.pixels)), "labels": batch.labels}

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """Mean over the labelled rows."""
        logits, labels = rows["logits"], rows["labels"]
        right = (logits.argmax(dim=1) == labels)[labels != UNLABELLED].float().mean()
        return Step(labelled_cross_entropy(logits, labels, self.label_smoothing), {"train_top1": right})

    def classify(self, nets: Nets, pixels: Tensor) -> Tensor:
        """Logits of the trained classifier."""
        return nets.classifier(nets.encoder(pixels))


def label_term(logits: Tensor, labels: Tensor) -> Tensor:
    """`labelled_cross_entropy`; 0 for a batch without a labelled row, from which a method's other terms still learn."""
    return labelled_cross_entropy(logits, labels) if bool((labels != UNLABELLED).any()) else logits.sum() * 0


@in_float32
def labelled_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy over the rows [N, C] whose label [N] is not -1.

    Raises:
        LossInputError: if no row is labelled.
    """
    if not bool((labels != UNLABELLED).any()):
        raise LossInputError(
            f"None of the {len(labels)} rows of the batch is labelled, so cross-entropy has no target."
        )
    return F.cross_entropy(logits, labels, ignore_index=UNLABELLED, label_smoothing=label_smoothing)
