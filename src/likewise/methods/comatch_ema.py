"""CoMatch with an EMA teacher: a slow copy guesses, and a queue of past images joins the graph."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from likewise.encoders import Encoder
from likewise.losses import agreement, soft_nce
from likewise.memory import Queue
from likewise.methods.card import Card, Preset
from likewise.methods.comatch import CoMatch, answers
from likewise.methods.method import Nets, Outputs, Progress, Step, together
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy, supcon, weak

EPOCHS = 400
"""Of the authors' run, in which the graph's weight starts at 1 and rises by 1 an epoch."""


SCRIPT = "imagenet/Train_CoMatch.py, https://github.com/salesforce/CoMatch: 160 labelled and 640 other images a step"
SUPPORT = {"classes_per_batch": 80, "images_per_class": 2, "hidden": 2048}

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px",
        "ours: the authors' thresholds for CIFAR-10 with a teacher that guesses; comatch is their form for this size",
        Recipe("sgd", learning_rate=0.03 * 256 / 448, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=400,
        settings={
            "temperature": 0.2,
            "threshold": 0.95,
            "edge": 0.8,
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
        settings={"threshold": 0.8, "edge": 0.5, "images_per_class": 6, "queue": 8192},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 1 % of the labels, ResNet-50",
        SCRIPT,
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4, warm_up=0.0),
        batch_size=640,
        epochs=400,
        settings=SUPPORT,
        image_size=224,
    ),
    "imagenet-10-percent": Preset(
        "ImageNet, 224 px, 10 % of the labels, ResNet-50",
        SCRIPT,
        Recipe("sgd", learning_rate=0.04, weight_decay=1e-4, warm_up=0.0),
        batch_size=640,
        epochs=400,
        settings=SUPPORT | {"threshold": 0.5, "edge": 0.2, "graph_weight": 2.0},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class CoMatchEMA(CoMatch):
    """Li, Xiong & Hoi 2021, Sec. 3, https://arxiv.org/abs/2011.11183: the form for ImageNet.

    The teacher sees labelled images, weak views and one strong view; the student the other strong view and the labelled
    images. Defaults are those for 1 % of ImageNet's labels. Guesses are smoothed once the queue is full, where the
    authors wait an epoch, and no batch is cut off at its end. The teacher classifies in the end: the authors' code
    says so, but evaluates the student.
    """

    card = Card(
        title="CoMatch with an EMA teacher",
        paper="Li, Xiong & Hoi 2021, https://arxiv.org/abs/2011.11183",
        needs="some labels",
        idea="CoMatch whose guesses come from a slow teacher, with a longer memory.",
        choose_when="few of many large images are labelled, and the run is long",
        recipe=Recipe(learning_rate=0.04, weight_decay=1e-4),
        presets=PRESETS,
    )
    teacher_guesses = True

    temperature: float = 0.1
    """divides the cosines (paper: 0.1)"""
    threshold: float = 0.6
    """confidence from which a guess is learned (paper: 0.6 for 1 % of ImageNet's labels, 0.5 for 10 %)"""
    edge: float = 0.3
    """least weight of an edge between two images (paper: 0.3; 0.2 for 10 %)"""
    pseudo_label_weight: float = 10.0
    """of the loss on guesses (paper: 10)"""
    graph_weight: float = 10.0
    """of the loss on the graph, risen to from 1 in the first epochs (paper: 10; 2 for 10 %)"""
    momentum: float = 0.996
    """of the teacher, lower in the first steps (paper: 0.99 in the first epoch, then 0.996)"""
    queue: int = 30000
    """past images that smooth guesses, and as many that join the graph (paper: 30,000)"""
    window: int = 128
    """batches over which guesses are balanced (paper: 128)"""
    hidden: int = 512
    """width of the head's hidden layer (paper: the encoder's own, 2,048)"""
    dim: int = 128
    """width of the embedding (paper: 128)"""
    weak_views: ViewPolicy = field(default_factory=weak)
    """by which images are guessed, and labelled ones learned"""
    strong_views: ViewPolicy = field(default_factory=supcon)
    """of the view that learns the guess (paper: crop and colour, as the other)"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """As CoMatch, with a second queue."""
        nets = super().build(encoder, classes)
        nets.graph = Queue(self.queue, self.dim, guesses=classes)
        return nets

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """As CoMatch, while the graph's weight rises."""
        weight = min(self.graph_weight, 1 + EPOCHS * progress.fraction)
        return super(CoMatchEMA, replace(self, graph_weight=weight)).compute_loss(nets, rows, progress)

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """The graph remembers strong views by the teacher, with smoothed guesses."""
        nets.graph.push(step.memory_updates["other"], guesses=step.memory_updates["targets"])
        super().after_update(nets, step, progress)

    def _answers(self, nets: Nets, views: dict[str, Tensor]) -> Outputs:
        seen = together(nets.encoder, {name: view for name, view in views.items() if name in ("strong", "support")})
        rows = answers(nets, seen, ("strong", "support"), ("strong",))
        with torch.no_grad():
            told = together(nets.teacher.encoder, {name: view for name, view in views.items() if name != "strong"})
            return {**rows, **answers(nets.teacher, told, ("weak",), ("weak", "other", "support"))}

    def _graph_loss(self, nets: Nets, rows: Outputs, targets: Tensor) -> Tensor:
        keys, edges = torch.cat([rows["other"], nets.graph.rows]), agreement(targets, self.edge, nets.graph.guesses)
        return soft_nce(rows["strong"], keys, edges, self.temperature)
