"""CoMatch: what an image is and what it is like teach each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import (
    distribution_alignment,
    memory_smoothing,
    pseudo_label_graph,
    soft_cross_entropy,
    soft_nce,
    threshold_pseudo_labels,
)
from likewise.losses.float32 import unit
from likewise.memory import BatchHistory, Queue, ema_update, make_ema_copy, momentum_at
from likewise.methods.card import Card, Preset
from likewise.methods.fixmatch import RECIPE
from likewise.methods.method import (
    Method,
    Nets,
    Outputs,
    Progress,
    Step,
    feature_std,
    forward_concatenated,
    one_view,
    support_labels,
    support_view,
    two_views,
)
from likewise.methods.recipe import Recipe
from likewise.views.policies import comatch_strong, fixmatch_weak, supcon, weak
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, 2 to 8 labels a class, WRN-28-2",
        "Train_CoMatch.py lines 242-277 of https://github.com/salesforce/CoMatch (commit 08b4cce): 524,288 steps of "
        "64 labelled and 448 other images",
        RECIPE,
        batch_size=448,
        epochs=4700,
        settings={"images_per_class": 6, "head_negative_slope": 0.1},
    ),
    "middle": Preset(
        "STL-10, 96 px, 100 labels a class",
        "config/classic_cv/comatch/comatch_stl10_1000_0.yaml lines 9-40 of "
        "https://github.com/microsoft/Semi-supervised-learning (commit 1ef4cbe); the length is ours, as above",
        RECIPE,
        batch_size=448,
        epochs=4700,
        settings={"images_per_class": 6, "graph_weight": 5.0},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px",
        "ours: the thresholds of comatch-ema, which is the authors' form for this size and the better choice",
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4),
        batch_size=640,
        epochs=400,
        settings={
            "temperature": 0.1,
            "threshold": 0.6,
            "graph_threshold": 0.3,
            "pseudo_label_weight": 10.0,
            "graph_weight": 10.0,
            "queue": 30000,
            "window": 128,
            "classes_per_batch": 80,
            "images_per_class": 2,
            "hidden": 2048,
            "dim": 128,
            "weak_views": weak(),
            "strong_views": supcon(),
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class CoMatch(Method):
    """Li, Xiong & Hoi 2021, Sec. 3 and Algorithm 1, https://arxiv.org/abs/2011.11183.

    The form for small images; `CoMatchEMA` is the one for ImageNet. The prediction for a weak view, after distribution
    alignment and memory smoothing, is the pseudo-label of a strong view. Pseudo-labels also form a graph, which says
    whose embeddings are to be similar. The unlabelled images include the support, without its labels. An EMA
    teacher classifies in the end; it teaches nothing.
    """

    card = Card(
        title="CoMatch",
        paper="Li, Xiong & Hoi 2021, https://arxiv.org/abs/2011.11183",
        needs="some labels",
        idea="Pseudo-labels and embeddings improve each other; trains a classifier too.",
        choose_when="a handful of each class is labelled, images are small, and a classifier is wanted",
        recipe=Recipe(learning_rate=0.03, weight_decay=5e-4),
        presets=PRESETS,
    )
    teacher_predicts: ClassVar[bool] = False
    """whether the teacher makes the pseudo-labels; else it is only evaluated"""

    temperature: float = 0.2
    """divides the cosines (paper: 0.2 for CIFAR-10 and STL-10)"""
    threshold: float = 0.95
    """least confidence of a pseudo-label that is learned (paper: 0.95)"""
    graph_threshold: float = 0.8
    """least weight of an edge of the pseudo-label graph (paper: 0.8)"""
    alpha: float = 0.9
    """memory smoothing: weight of an image's own prediction; the rest is that of similar images (paper: 0.9)"""
    pseudo_label_weight: float = 1.0
    """weight of the pseudo-labels' loss (paper: 1)"""
    graph_weight: float = 1.0
    """weight of the graph's loss (paper: 1 for CIFAR-10; 5 for STL-10 in the USB benchmark)"""
    momentum: float = 0.999
    """EMA momentum of the teacher, lower in the first steps (paper: 0.999)"""
    queue: int = 2560
    """past embeddings for memory smoothing, which starts when the queue is full (paper: five batches of 512)"""
    window: int = 32
    """batches whose mean prediction distribution alignment divides by (paper: 32)"""
    classes_per_batch: int = 10
    """classes in a support batch, or all if there are fewer"""
    images_per_class: int = 4
    """labelled images of each class in a support batch (paper: 64 labelled for 448 unlabelled images)"""
    hidden: int = 128
    """width of the head's hidden layer (paper: the encoder's own, 128 for CIFAR-10)"""
    head_negative_slope: float = 0.0
    """slope below zero of the LeakyReLU in the head; 0: ReLU (authors' code: 0.1 for CIFAR-10, 0 for ImageNet)"""
    dim: int = 64
    """width of the embedding (paper: 64)"""
    weak_views: ViewPolicy = field(default_factory=fixmatch_weak)
    """views from which pseudo-labels are made, and views of labelled images"""
    strong_views: ViewPolicy = field(default_factory=comatch_strong)
    """views that learn the pseudo-label (paper: RandAugment and Cutout)"""
    other_views: ViewPolicy = field(default_factory=supcon)
    """the other views of the graph's loss (paper: crop and colour)"""

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder, classifier and head, their EMA copy, and the memory of embeddings and predictions."""
        slope = self.head_negative_slope
        head = mlp(encoder.width, self.hidden, self.dim, batch_norm=False, negative_slope=slope)
        nets = Nets(encoder=encoder, classifier=nn.Linear(encoder.width, classes), head=head)
        nets.teacher = make_ema_copy(nets)
        nets.queue = Queue(self.queue, self.dim, probabilities=classes)
        nets.history = BatchHistory(max(self.window - 1, 0), classes)
        return nets

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Logits and embedding of a weak and two strong views of each image, and of the support."""
        strong, other = two_views(self.strong_views, batch, progress, self.other_views)
        views = {
            "weak": one_view(self.weak_views, batch, progress, "weak view"),
            "strong": strong,
            "other": other,
            **support_view(self.weak_views, batch, progress),
        }
        return {**self._predict(nets, views), **support_labels(batch)}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Cross-entropy of the support, of the confident pseudo-labels, and of the pseudo-label graph (Algorithm 1)."""
        probabilities = outputs["weak_logits"].softmax(dim=1)  # [B, C]
        aligned = distribution_alignment(probabilities, nets.history.rows, nets.history.filled)
        targets = self._smoothed(nets, aligned, outputs["weak"])  # [B, C]
        # [B, C], zeros where the target is not confident
        pseudo_labels = threshold_pseudo_labels(targets, self.threshold)
        labels = F.one_hot(outputs["labels"], probabilities.shape[1]).to(probabilities)  # [S, C]

        supervised = soft_cross_entropy(outputs["support_logits"], labels)
        pseudo_label = soft_cross_entropy(outputs["strong_logits"], pseudo_labels)
        graph = self._graph_loss(nets, outputs, targets)
        loss = (
            supervised
            + self.pseudo_label_weight * pseudo_label
            + self._weight_of_graph(progress) * graph
        )

        metrics = {
            "supervised": supervised,
            "pseudo_label": pseudo_label,
            "graph": graph,
            "feature_std": feature_std(outputs["strong"]),
            "mask_ratio": pseudo_labels.any(dim=1).float().mean(),
        }
        memory_updates = {
            "queue": torch.cat([outputs["weak"], outputs["support"]]),  # [B + S, D]
            "probabilities": torch.cat([aligned, labels]),  # [B + S, C]
            "mean_prediction": probabilities.mean(dim=0, keepdim=True),  # [1, C]
            "other": outputs["other"],  # [B, D]
            "targets": targets,  # [B, C]
        }
        return Step(loss, metrics, memory_updates)

    def _weight_of_graph(self, progress: Progress) -> float | Tensor:
        return self.graph_weight

    def _smoothed(self, nets: Nets, aligned: Tensor, weak: Tensor) -> Tensor:
        """Predictions [B, C] smoothed by those of similar images in the queue; ``weak``: embeddings [B, D]."""
        queue = nets.queue
        smoothed = memory_smoothing(
            aligned, weak, queue.rows, queue.probabilities, self.temperature, self.alpha
        )
        # A queue that is not full still holds random embeddings, so smoothing waits.
        return torch.where(queue.filled.all(), smoothed, aligned)

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Store aligned, unsmoothed predictions and the labels; then update the EMA teacher."""
        nets.queue.push(
            step.memory_updates["queue"], probabilities=step.memory_updates["probabilities"]
        )
        nets.history.push(step.memory_updates["mean_prediction"])
        student = Nets(encoder=nets.encoder, classifier=nets.classifier, head=nets.head)
        momentum = momentum_at(progress.step, self.momentum)
        ema_update(nets.teacher, student, momentum, copy_buffers=not self.teacher_predicts)

    def classifier(self, nets: Nets) -> tuple[Encoder, nn.Module]:
        """The teacher's encoder and the linear layer on it, as the authors evaluate."""
        return nets.teacher.encoder, nets.teacher.classifier

    def _predict(self, nets: Nets, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """One pass of the student over all views; weak views take no gradient beyond the encoder's statistics."""
        features = forward_concatenated(nets.encoder, views)  # [B, D] each
        embed = ("strong", "other")
        learned = predictions(nets, features, classify=("strong", "support"), embed=embed)
        with torch.no_grad():
            fixed = predictions(nets, features, classify=("weak",), embed=("weak", "support"))
        return {**learned, **fixed}

    def _graph_loss(self, nets: Nets, outputs: Outputs, targets: Tensor) -> Tensor:
        """Embeddings of two strong views are as similar as the pseudo-label graph says."""
        graph = pseudo_label_graph(targets, self.graph_threshold)  # [B, B]
        return soft_nce(outputs["strong"], outputs["other"], graph, self.temperature)


def predictions(
    nets: Nets, features: dict[str, Tensor], classify: Sequence[str], embed: Sequence[str]
) -> dict[str, Tensor]:
    """Logits [B, C] of some views and unit embeddings [B, D] of some; a view without features is left out."""
    outputs = {}
    for name in classify:
        if name in features:
            outputs[f"{name}_logits"] = nets.classifier(features[name])
    for name in embed:
        if name in features:
            outputs[name] = unit(nets.head(features[name]))
    return outputs
