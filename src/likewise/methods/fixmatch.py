"""FixMatch: what a weak view is surely taken for, a strong view should be taken for too."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import nn

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.encoders import Encoder
from likewise.losses import distribution_alignment, soft_cross_entropy, threshold_pseudo_labels
from likewise.memory import BatchHistory, ema_update, make_ema_copy, momentum_at
from likewise.methods.card import Card, Preset
from likewise.methods.method import (
    Method,
    Nets,
    Outputs,
    Progress,
    Step,
    forward_concatenated,
    one_view,
    support_labels,
    support_view,
)
from likewise.methods.recipe import Recipe
from likewise.views.policies import comatch_strong, fixmatch_strong, fixmatch_weak
from likewise.views.view_policy import ViewPolicy

RATE = 0.03 * 256 / 448
"""0.03 for 448 unlabelled images, stated for 256."""

RECIPE = Recipe(
    "sgd",
    learning_rate=RATE,
    nesterov=True,
    weight_decay=5e-4,
    warm_up=0.0,
    schedule="fixmatch",
)
"""The authors' for CIFAR-10."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, 4 to 400 labels a class, WRN-28-2",
        "App. B, https://arxiv.org/abs/2001.07685: 1,048,576 steps of 64 labelled and 448 other images",
        RECIPE,
        batch_size=448,
        epochs=9400,
        settings={"images_per_class": 6},
    ),
    "middle": Preset(
        "STL-10, 96 px, 100 labels a class, WRN-37-2",
        "App. B, https://arxiv.org/abs/2001.07685; the length is ours, as many epochs as for CIFAR-10",
        RECIPE,
        batch_size=448,
        epochs=9400,
        settings={"images_per_class": 6},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 10% of the labels, ResNet-50",
        "ours: rate and batch; threshold and weight are those of the authors' imagenet/fixmatch.py, "
        "https://github.com/google-research/fixmatch",
        Recipe("sgd", learning_rate=0.03, nesterov=True, weight_decay=3e-4, warm_up=0.02),
        batch_size=1024,
        epochs=300,
        settings={
            "threshold": 0.7,
            "pseudo_label_weight": 10.0,
            "classes_per_batch": 100,
            "images_per_class": 2,
        },
        image_size=224,
    ),
    "comatch-baseline": Preset(
        "CIFAR-10, 32 px, 4 labels a class",
        "Train_fixmatch.py lines 202-227 of https://github.com/salesforce/CoMatch (commit 08b4cce): distribution "
        "alignment, half of the operations "
        "made, 1,048,576 steps",
        RECIPE,
        batch_size=448,
        epochs=9400,
        settings={"images_per_class": 6, "window": 32, "strong_views": comatch_strong()},
    ),
}


@dataclass(frozen=True)
class FixMatch(Method):
    """Sohn et al. 2020, Algorithm 1, https://arxiv.org/abs/2001.07685.

    Labelled images come as a class-balanced support with each batch. The unlabelled images include them, without
    their labels, as in the authors' code. An EMA teacher classifies in the end; it teaches nothing.
    """

    card = Card(
        title="FixMatch",
        paper="Sohn et al. 2020, https://arxiv.org/abs/2001.07685",
        needs="some labels",
        idea="Learns its own confident pseudo-labels on strong views; the simple baseline for few labels.",
        choose_when="a handful of each class is labelled and a simple baseline for comatch is wanted",
        recipe=Recipe(learning_rate=0.03, weight_decay=5e-4),
        presets=PRESETS,
    )

    threshold: float = 0.95
    """least confidence of a pseudo-label that is learned (paper: 0.95; 0.7 for ImageNet)"""
    pseudo_label_weight: float = 1.0
    """weight of the pseudo-labels' loss (paper: 1; 10 for ImageNet)"""
    window: int = 0
    """batches of distribution alignment; 0: no alignment (paper: 0; 32 in CoMatch's baseline)"""
    momentum: float = 0.999
    """EMA momentum of the teacher, lower in the first steps (paper: 0.999)"""
    classes_per_batch: int = 10
    """classes in a support batch, or all if there are fewer"""
    images_per_class: int = 4
    """labelled images of each class in a support batch (paper: 64 labelled for 448 unlabelled images)"""
    weak_views: ViewPolicy = field(default_factory=fixmatch_weak)
    """views from which pseudo-labels are made, and views of labelled images"""
    strong_views: ViewPolicy = field(default_factory=fixmatch_strong)
    """views that learn the pseudo-label (paper: RandAugment and Cutout)"""

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """A classifier, its EMA copy, and the mean predictions of recent batches."""
        nets = Nets(encoder=encoder, classifier=nn.Linear(encoder.width, classes))
        nets.teacher = make_ema_copy(nets)
        nets.history = BatchHistory(max(self.window - 1, 0), classes)
        return nets

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Logits of a weak and a strong view of each image, and of the support; weak views take no gradient."""
        views = {
            "weak": one_view(self.weak_views, batch, progress, "weak view"),
            "strong": one_view(self.strong_views, batch, progress, "strong view"),
            **support_view(self.weak_views, batch, progress),
        }
        features = forward_concatenated(nets.encoder, views)  # [B, D] each
        logits = {name: nets.classifier(h) for name, h in features.items()}  # [B, C] each
        logits["weak"] = logits["weak"].detach()
        return {**logits, **support_labels(batch)}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Cross-entropy of the support, plus that of the confident pseudo-labels, whose mean is over all rows."""
        supervised = F.cross_entropy(outputs["support"].float(), outputs["labels"])

        probabilities = outputs["weak"].softmax(dim=1)  # [B, C]
        mean_prediction = probabilities.mean(dim=0, keepdim=True)  # [1, C]
        if self.window:
            past = nets.history
            probabilities = distribution_alignment(probabilities, past.rows, past.filled)
        # [B, C]: one-hot, or zeros where the prediction is not confident
        pseudo_labels = threshold_pseudo_labels(probabilities, self.threshold, hard=True)
        pseudo_label = soft_cross_entropy(outputs["strong"], pseudo_labels)

        loss = supervised + self.pseudo_label_weight * pseudo_label
        metrics = {
            "supervised": supervised,
            "pseudo_label": pseudo_label,
            "mask_ratio": pseudo_labels.sum(dim=1).mean(),
        }
        return Step(loss, metrics, memory_updates={"mean_prediction": mean_prediction})

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Store the mean prediction; then update the EMA teacher."""
        nets.history.push(step.memory_updates["mean_prediction"])
        student = Nets(encoder=nets.encoder, classifier=nets.classifier)
        momentum = momentum_at(progress.step, self.momentum)
        ema_update(nets.teacher, student, momentum, copy_buffers=True)

    def classifier(self, nets: Nets) -> tuple[Encoder, nn.Module]:
        """The teacher's encoder and the linear layer on it, as the authors evaluate."""
        return nets.teacher.encoder, nets.teacher.classifier
