"""Cross-entropy: labels only, the baseline that every other method has to beat."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from likewise.counts import amount
from likewise.data.batch import UNLABELLED, Batch
from likewise.encoders import Encoder
from likewise.losses import LossInputError
from likewise.losses.float32 import in_float32
from likewise.losses.waiting import may_wait
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, one_view
from likewise.methods.recipe import Recipe
from likewise.views.policies import weak
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10 and CIFAR-100, 32 px, ResNet-50",
        "main_ce.py lines 33-50 as README.md lines 66-68 start it, of https://github.com/HobbitLong/SupContrast "
        "(commit 66a8fe5): a rate of 0.8 for 1,024 images",
        Recipe(
            "sgd",
            learning_rate=0.2,
            weight_decay=1e-4,
            start_factor=0.01 / 0.8,
            end_factor=0.001,
            exclude_bias_and_norm=False,
        ),
        batch_size=1024,
        epochs=500,
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the baseline for ImageNet with a smaller batch",
        Recipe("sgd", learning_rate=0.1, weight_decay=1e-4),
        batch_size=256,
        epochs=200,
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "supcon/scripts/cross_entropy_imagenet_resnet50.sh lines 31-36 of "
        "https://github.com/google-research/google-research (commit 0c1bbe5), "
        "with AutoAugment's views",
        Recipe("sgd", learning_rate=0.1, nesterov=True, weight_decay=1e-4),
        batch_size=6144,
        epochs=200,
        settings={"label_smoothing": 0.05},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class CrossEntropy(Method):
    """A linear classifier on the encoder, both trained on the labelled images; unlabelled ones are left out."""

    card = Card(
        title="Cross-entropy",
        paper="the supervised baseline of Khosla et al. 2020, Table 2, https://arxiv.org/abs/2004.11362",
        needs="all labels",
        idea="Trains a classifier on the labelled images alone.",
        choose_when="a baseline is wanted that the others have to beat",
        labelled_only=True,
        recipe=Recipe(learning_rate=0.1, weight_decay=5e-4),
        presets=PRESETS,
    )

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
        view = one_view(self.views, batch, progress)
        return {"logits": nets.classifier(nets.encoder(view)), "labels": batch.labels}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Mean over the labelled rows."""
        logits, labels = outputs["logits"], outputs["labels"]
        loss = labelled_cross_entropy(logits, labels, self.label_smoothing)
        return Step(loss, {"train_top1": share_of_right(logits, labels)})

    def classifier(self, nets: Nets) -> tuple[Encoder, nn.Module]:
        """The trained encoder and the linear layer on it."""
        return nets.encoder, nets.classifier


def share_of_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of the labelled rows whose largest logit [N, C] is their label's; NaN if there are none."""
    known = labels != UNLABELLED
    right = (logits.argmax(dim=1) == labels) & known
    return right.sum() / known.sum()


@in_float32
def label_term(logits: Tensor, labels: Tensor) -> Tensor:
    """`labelled_cross_entropy`; 0 for a batch without a labelled row, from which a method's other terms still learn."""
    total = F.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
    return total / (labels != UNLABELLED).sum().clamp(min=1)


@in_float32
def labelled_cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy over the rows [N, C] whose label [N] is not -1.

    Raises:
        LossInputError: if no row is labelled; on a GPU, where the host does not wait to look, the loss is NaN.
    """
    if may_wait(labels) and not bool((labels != UNLABELLED).any()):
        raise LossInputError(
            f"None of the {amount(len(labels), 'row')} of the batch is labelled, so cross-entropy has no target."
        )
    return F.cross_entropy(logits, labels, ignore_index=UNLABELLED, label_smoothing=label_smoothing)
