"""CoMatch with an EMA teacher: an EMA copy makes the pseudo-labels, and a queue of past images joins the graph."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from likewise.encoders import Encoder
from likewise.losses import pseudo_label_graph, soft_nce
from likewise.memory import Queue
from likewise.methods.card import Card, Preset
from likewise.methods.comatch import CoMatch, predictions
from likewise.methods.method import Nets, Outputs, Progress, Step, forward_concatenated
from likewise.methods.recipe import Recipe
from likewise.views.policies import supcon, weak
from likewise.views.view_policy import ViewPolicy

EPOCHS = 400
"""Of the authors' run, in which the graph's weight starts at 1 and rises by 1 an epoch."""


SCRIPT = (
    "imagenet/Train_CoMatch.py lines 45-91 of https://github.com/salesforce/CoMatch (commit 08b4cce): 160 labelled "
    "and 640 other images a step"
)
RECIPE = Recipe(
    "sgd",
    learning_rate=0.04,
    nesterov=True,
    weight_decay=1e-4,
    warm_up=0.0,
    exclude_bias_and_norm=False,
)
"""The authors' for ImageNet."""
SUPPORT = {"classes_per_batch": 80, "images_per_class": 2, "hidden": 2048}

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px",
        "ours: the authors' thresholds for CIFAR-10 with an EMA teacher; comatch is their form for this size",
        Recipe("sgd", learning_rate=0.03 * 256 / 448, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=400,
        settings={
            "temperature": 0.2,
            "threshold": 0.95,
            "graph_threshold": 0.8,
            "pseudo_label_weight": 1.0,
            "graph_weight": 1.0,
            "images_per_class": 6,
            "queue": 2560,
            "window": 32,
        },
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' run on ImageNet with a shorter memory and thresholds between those of both forms",
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4),
        batch_size=448,
        epochs=400,
        settings={"threshold": 0.8, "graph_threshold": 0.5, "images_per_class": 6, "queue": 8192},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 1% of the labels, ResNet-50",
        SCRIPT,
        RECIPE,
        batch_size=640,
        epochs=400,
        settings=SUPPORT,
        image_size=224,
    ),
    "imagenet-10-percent": Preset(
        "ImageNet, 224 px, 10% of the labels, ResNet-50",
        SCRIPT,
        RECIPE,
        batch_size=640,
        epochs=400,
        settings=SUPPORT | {"threshold": 0.5, "graph_threshold": 0.2, "graph_weight": 2.0},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class CoMatchEMA(CoMatch):
    """Li, Xiong & Hoi 2021, Sec. 3, https://arxiv.org/abs/2011.11183: the form for ImageNet.

    The teacher sees labelled images, weak views and one strong view; the student the other strong view and the labelled
    images. Defaults are those for 1% of ImageNet's labels. Memory smoothing starts when the queue is full, where the
    authors wait an epoch, and no batch is cut off at its end. The teacher classifies in the end: the authors' code
    says so, but evaluates the student.
    """

    card = Card(
        title="CoMatch with an EMA teacher",
        paper="Li, Xiong & Hoi 2021, https://arxiv.org/abs/2011.11183",
        needs="some labels",
        idea="CoMatch whose pseudo-labels come from an EMA teacher, with a longer memory.",
        choose_when="few of many large images are labelled, and the run is long",
        recipe=Recipe(learning_rate=0.04, weight_decay=1e-4),
        presets=PRESETS,
    )
    teacher_predicts = True

    temperature: float = 0.1
    """divides the cosines (paper: 0.1)"""
    threshold: float = 0.6
    """least confidence of a pseudo-label that is learned (paper: 0.6 for 1% of ImageNet's labels, 0.5 for 10%)"""
    graph_threshold: float = 0.3
    """least weight of an edge of the pseudo-label graph (paper: 0.3; 0.2 for 10%)"""
    pseudo_label_weight: float = 10.0
    """weight of the pseudo-labels' loss (paper: 10)"""
    graph_weight: float = 10.0
    """weight of the graph's loss, which rises to it from 1 in the first epochs (paper: 10; 2 for 10%)"""
    momentum: float = 0.996
    """EMA momentum of the teacher, lower in the first steps (paper: 0.99 in the first epoch, then 0.996)"""
    queue: int = 30000
    """past embeddings for memory smoothing, and as many for the graph (paper: 30,000)"""
    window: int = 128
    """batches whose mean prediction distribution alignment divides by (paper: 128)"""
    hidden: int = 512
    """width of the head's hidden layer (paper: the encoder's own, 2,048)"""
    dim: int = 128
    """width of the embedding (paper: 128)"""
    weak_views: ViewPolicy = field(default_factory=weak)
    """views from which pseudo-labels are made, and views of labelled images"""
    strong_views: ViewPolicy = field(default_factory=supcon)
    """views that learn the pseudo-label (paper: crop and colour, as the other)"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """As CoMatch, with a second queue."""
        nets = super().build(encoder, classes)
        nets.graph = Queue(self.queue, self.dim, probabilities=classes)
        return nets

    def _weight_of_graph(self, progress: Progress) -> float | Tensor:
        return progress.scheduled(lambda now: min(self.graph_weight, 1 + EPOCHS * now.fraction))

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Store the teacher's embeddings of strong views with their smoothed predictions for the graph."""
        nets.graph.push(step.memory_updates["other"], probabilities=step.memory_updates["targets"])
        super().after_update(nets, step, progress)

    def _predict(self, nets: Nets, views: dict[str, Tensor]) -> dict[str, Tensor]:
        """The student sees one strong view and the support, the teacher all but that strong view."""
        seen = {name: view for name, view in views.items() if name in ("strong", "support")}
        features = forward_concatenated(nets.encoder, seen)  # [B, D] each
        student = predictions(nets, features, classify=("strong", "support"), embed=("strong",))
        seen = {name: view for name, view in views.items() if name != "strong"}
        with torch.no_grad():
            features = forward_concatenated(nets.teacher.encoder, seen)
            embed = ("weak", "other", "support")
            teacher = predictions(nets.teacher, features, classify=("weak",), embed=embed)
        return {**student, **teacher}

    def _graph_loss(self, nets: Nets, outputs: Outputs, targets: Tensor) -> Tensor:
        """The graph reaches to the images in the queue."""
        past = nets.graph
        graph = pseudo_label_graph(targets, self.graph_threshold, past.probabilities)  # [B, B + K]
        keys = torch.cat([outputs["other"], past.rows])  # [B + K, dim]
        return soft_nce(outputs["strong"], keys, graph, self.temperature)
