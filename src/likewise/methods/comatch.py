"""CoMatch: what an image is and what it is like teach each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import agreement, aligned, confident, smoothed, soft_cross_entropy, soft_nce
from likewise.losses.float32 import unit
from likewise.memory import BatchHistory, Queue, ema_update, make_ema_copy, momentum_at
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, together, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy, comatch_strong, fixmatch_weak, supcon, weak

RATE = 0.03 * 256 / 448
"""0.03 for 448 unlabelled images, stated for 256."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, 2 to 8 labels a class, WRN-28-2",
        "Train_CoMatch.py, https://github.com/salesforce/CoMatch: 524,288 steps of 64 labelled and 448 other images",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=4700,
        settings={"images_per_class": 6},
    ),
    "middle": Preset(
        "STL-10, 96 px, 100 labels a class",
        "the USB benchmark, https://github.com/microsoft/Semi-supervised-learning; the length is ours, as above",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
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
            "edge": 0.3,
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

    The form for small images; `CoMatchEMA` is the one for ImageNet. The guess for a weak view, balanced over the
    classes and smoothed by those of similar images, is what a strong view should be taken for, and says which images'
    strong views should be alike. The class-balanced support beside each batch is among the unlabelled images too,
    without its labels. A teacher follows to classify in the end; it teaches nothing.
    """

    card = Card(
        title="CoMatch",
        paper="Li, Xiong & Hoi 2021, https://arxiv.org/abs/2011.11183",
        needs="some labels",
        idea="Guessed classes and embeddings correct each other; trains a classifier too.",
        choose_when="a handful of each class is labelled, images are small, and a classifier is wanted",
        recipe=Recipe(learning_rate=0.03, weight_decay=5e-4),
        presets=PRESETS,
    )
    teacher_guesses = False

    temperature: float = 0.2
    """divides the cosines (paper: 0.2 for CIFAR-10 and STL-10)"""
    threshold: float = 0.95
    """confidence from which a guess is learned (paper: 0.95)"""
    edge: float = 0.8
    """least weight of an edge between two images (paper: 0.8)"""
    alpha: float = 0.9
    """weight of an image's own guess when it is smoothed; the rest is that of similar images (paper: 0.9)"""
    pseudo_label_weight: float = 1.0
    """of the loss on guesses (paper: 1)"""
    graph_weight: float = 1.0
    """of the loss on the graph (paper: 1 for CIFAR-10; 5 for STL-10 in the USB benchmark)"""
    momentum: float = 0.999
    """of the teacher, lower in the first steps (paper: 0.999)"""
    queue: int = 2560
    """past images that smooth guesses, once there are so many (paper: five batches of 512)"""
    window: int = 32
    """batches over which guesses are balanced (paper: 32)"""
    classes_per_batch: int = 10
    """classes in a support batch, or all if there are fewer"""
    images_per_class: int = 4
    """labelled images of each (paper: 64 images in all beside 448 unlabelled ones)"""
    hidden: int = 128
    """width of the head's hidden layer (paper: the encoder's own, 128 for CIFAR-10)"""
    dim: int = 64
    """width of the embedding (paper: 64)"""
    weak_views: ViewPolicy = field(default_factory=fixmatch_weak)
    """by which images are guessed, and labelled ones learned"""
    strong_views: ViewPolicy = field(default_factory=comatch_strong)
    """of the view that learns the guess (paper: RandAugment and Cutout)"""
    other_views: ViewPolicy = field(default_factory=supcon)
    """of the other view in the graph (paper: crop and colour)"""

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """A network of two heads, its average, and what is remembered of guesses."""
        head = mlp(encoder.width, self.hidden, self.dim, batch_norm=False)
        learned = {"encoder": encoder, "classifier": nn.Linear(encoder.width, classes), "head": head}
        queue, shares = Queue(self.queue, self.dim, guesses=classes), BatchHistory(self.window - 1, classes)
        return Nets(**learned, teacher=make_ema_copy(Nets(**learned)), queue=queue, shares=shares)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Logits and embedding of a weak and two strong views of each image, and of the support."""
        strong, other = two_views(self.strong_views, batch, progress, self.other_views)
        weak = self.weak_views(batch.pixels, progress.rng("weak view", batch)).pixels
        views = {"weak": weak, "strong": strong, "other": other}
        if batch.support is None:  # as in a microbatch that got no row of it
            return self._answers(nets, views)
        views["support"] = self.weak_views(batch.support.pixels, progress.rng("support", batch.support)).pixels
        return {**self._answers(nets, views), "labels": batch.support.labels}

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """The labels of the support, the guesses that are believed, and the graph that guesses draw."""
        guesses = rows["weak_logits"].softmax(dim=1)
        balanced = aligned(guesses, nets.shares.rows, nets.shares.filled)
        alike = smoothed(balanced, rows["weak"], nets.queue.rows, nets.queue.guesses, self.temperature, self.alpha)
        targets = torch.where(nets.queue.filled.all(), alike, balanced)
        believed = confident(targets, self.threshold)
        known = F.one_hot(rows["labels"], guesses.shape[1]).to(guesses)
        supervised = soft_cross_entropy(rows["support_logits"], known)
        guessed = soft_cross_entropy(rows["strong_logits"], believed)
        graph = self._graph_loss(nets, rows, targets)
        loss = supervised + self.pseudo_label_weight * guessed + self.graph_weight * graph
        metrics = {"supervised": supervised, "guessed": guessed, "graph": graph}
        metrics |= {"feature_std": feature_std(rows["strong"]), "believed": believed.any(dim=1).float().mean()}
        memory_updates = {"queue": torch.cat([rows["weak"], rows["support"]]), "guesses": torch.cat([balanced, known])}
        memory_updates |= {"share": guesses.mean(dim=0, keepdim=True), "other": rows["other"], "targets": targets}
        return Step(
            loss, *({name: tensor.detach() for name, tensor in kept.items()} for kept in (metrics, memory_updates))
        )

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Remember balanced, unsmoothed guesses and the labels; then let the teacher follow."""
        nets.queue.push(step.memory_updates["queue"], guesses=step.memory_updates["guesses"])
        nets.shares.push(step.memory_updates["share"])
        student = Nets(encoder=nets.encoder, classifier=nets.classifier, head=nets.head)
        ema_update(nets.teacher, student, momentum_at(progress.step, self.momentum), not self.teacher_guesses)

    def classify(self, nets: Nets, pixels: Tensor) -> Tensor:
        """Logits of the teacher, as the authors evaluate."""
        return nets.teacher.classifier(nets.teacher.encoder(pixels))

    def _answers(self, nets: Nets, views: dict[str, Tensor]) -> Outputs:
        seen = together(nets.encoder, views)
        rows = answers(nets, seen, ("strong", "support"), ("strong", "other"))
        with torch.no_grad():
            return {**rows, **answers(nets, seen, ("weak",), ("weak", "support"))}

    def _graph_loss(self, nets: Nets, rows: Outputs, targets: Tensor) -> Tensor:
        return soft_nce(rows["strong"], rows["other"], agreement(targets, self.edge), self.temperature)


def answers(nets: Nets, seen: dict[str, Tensor], classified: tuple[str, ...], embedded: tuple[str, ...]) -> Outputs:
    """Logits and unit embeddings of those views' features that there are."""
    rows = {f"{name}_logits": nets.classifier(seen[name]) for name in classified if name in seen}
    return {**rows, **{name: unit(nets.head(seen[name])) for name in embedded if name in seen}}
