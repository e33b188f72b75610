"""FixMatch: what a weak view is surely taken for, a strong view should be taken for too."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.encoders import Encoder
from likewise.losses import aligned, confident, soft_cross_entropy
from likewise.memory import BatchHistory, ema_update, make_ema_copy, momentum_at
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, together
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy, comatch_strong, fixmatch_strong, fixmatch_weak

RATE = 0.03 * 256 / 448
"""0.03 for 448 unlabelled images, stated for 256."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, 4 to 400 labels a class, WRN-28-2",
        "App. B, https://arxiv.org/abs/2001.07685: 1,048,576 steps of 64 labelled and 448 other images",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=9400,
        settings={"images_per_class": 6},
    ),
    "middle": Preset(
        "STL-10, 96 px, 100 labels a class, WRN-37-2",
        "App. B, https://arxiv.org/abs/2001.07685; the length is ours, as many epochs as for CIFAR-10",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=9400,
        settings={"images_per_class": 6},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 10 % of the labels, ResNet-50",
        "ours in rate and batch: threshold and weight are those of the authors' imagenet/fixmatch.py, "
        "https://github.com/google-research/fixmatch",
        Recipe("sgd", learning_rate=0.03, weight_decay=3e-4, warm_up=0.02),
        batch_size=1024,
        epochs=300,
        settings={"threshold": 0.7, "pseudo_label_weight": 10.0, "classes_per_batch": 100, "images_per_class": 2},
        image_size=224,
    ),
    "comatch-baseline": Preset(
        "CIFAR-10, 32 px, 4 labels a class",
        "Train_fixmatch.py, https://github.com/salesforce/CoMatch: guesses balanced, half of the operations made",
        Recipe("sgd", learning_rate=RATE, weight_decay=5e-4, warm_up=0.0),
        batch_size=448,
        epochs=4700,
        settings={"images_per_class": 6, "window": 32, "strong_views": comatch_strong()},
    ),
}


@dataclass(frozen=True)
class FixMatch(Method):
    """Sohn et al. 2020, Algorithm 1, https://arxiv.org/abs/2001.07685.

    Labelled images come as a class-balanced support beside each batch; they are among the unlabelled ones too, without
    their labels, as in the authors' code. A teacher follows to classify in the end; it teaches nothing.
    """

    card = Card(
        title="FixMatch",
        paper="Sohn et al. 2020, https://arxiv.org/abs/2001.07685",
        needs="some labels",
        idea="Learns its own sure guesses on hard views; the simple baseline for a handful of labels.",
        choose_when="a handful of each class is labelled and a simple baseline for comatch is wanted",
        recipe=Recipe(learning_rate=0.03, weight_decay=5e-4),
        presets=PRESETS,
    )

    threshold: float = 0.95
    """confidence from which a guess is learned (paper: 0.95; 0.7 for ImageNet)"""
    pseudo_label_weight: float = 1.0
    """of the loss on guesses (paper: 1; 10 for ImageNet)"""
    window: int = 0
    """batches over which guesses are balanced; 0: they are not (paper: 0; 32 in CoMatch's baseline)"""
    momentum: float = 0.999
    """of the teacher, lower in the first steps (paper: 0.999)"""
    classes_per_batch: int = 10
    """classes in a support batch, or all if there are fewer"""
    images_per_class: int = 4
    """labelled images of each (paper: 64 images in all beside 448 unlabelled ones)"""
    weak_views: ViewPolicy = field(default_factory=fixmatch_weak)
    """by which images are guessed, and labelled ones learned"""
    strong_views: ViewPolicy = field(default_factory=fixmatch_strong)
    """of the view that learns the guess (paper: RandAugment and Cutout)"""

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """A classifier, its average, and what was guessed of late."""
        learned = {"encoder": encoder, "classifier": nn.Linear(encoder.width, classes)}
        shares = BatchHistory(max(self.window - 1, 0), classes)
        return Nets(**learned, teacher=make_ema_copy(Nets(**learned)), shares=shares)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Logits of a weak and a strong view of each image, and of the support; none learns from a weak view."""
        policies = {"weak": self.weak_views, "strong": self.strong_views}
        views = {
            name: policy(batch.pixels, progress.rng(f"{name} view", batch)).pixels for name, policy in policies.items()
        }
        if batch.support is not None:  # else a microbatch that got no row of it
            rng = progress.rng("support", batch.support)
            views["support"] = self.weak_views(batch.support.pixels, rng).pixels
        rows = {name: nets.classifier(seen) for name, seen in together(nets.encoder, views).items()}
        rows["weak"] = rows["weak"].detach()
        return rows if batch.support is None else {**rows, "labels": batch.support.labels}

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """The labels of the support, and the guesses that are sure; their mean is over all rows."""
        guesses = rows["weak"].softmax(dim=1)
        share = guesses.mean(dim=0, keepdim=True)
        if self.window:
            guesses = aligned(guesses, nets.shares.rows, nets.shares.filled)
        believed = confident(guesses, self.threshold, hard=True)
        supervised = F.cross_entropy(rows["support"].float(), rows["labels"])
        guessed = soft_cross_entropy(rows["strong"], believed)
        metrics = {"supervised": supervised.detach(), "guessed": guessed.detach(), "believed": believed.sum(1).mean()}
        return Step(supervised + self.pseudo_label_weight * guessed, metrics, {"share": share})

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Remember how often each class was guessed; then let the teacher follow."""
        nets.shares.push(step.memory_updates["share"])
        student = Nets(encoder=nets.encoder, classifier=nets.classifier)
        ema_update(nets.teacher, student, momentum_at(progress.step, self.momentum), copy_buffers=True)

    def classify(self, nets: Nets, pixels: Tensor) -> Tensor:
        """Logits of the teacher, as the authors evaluate."""
        return nets.teacher.classifier(nets.teacher.encoder(pixels))
