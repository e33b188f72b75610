"""SimCLR: two views of an image attract, all other images repel."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import nt_xent
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import simclr
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "README.md lines 79-83 of https://github.com/google-research/simclr (commit 383d414); App. B.9 of the paper, "
        "whose decay of 1e-6 it has",
        Recipe("lars", learning_rate=1.0, weight_decay=1e-6),
        batch_size=512,
        epochs=1000,
        settings={"temperature": 0.5},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the rate of the paper's ImageNet run, with a temperature between those for CIFAR-10 and for ImageNet",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=512,
        epochs=400,
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "README.md lines 101-104 of https://github.com/google-research/simclr (commit 383d414); Sec. 2.3 of the "
        "paper, whose decay of 1e-6 it has (best: 1,000 epochs)",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6, warm_up=0.1),
        batch_size=4096,
        epochs=100,
        settings={"temperature": 0.1, "hidden": 2048},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class SimCLR(Method):
    """Chen et al. 2020, Algorithm 1, https://arxiv.org/abs/2002.05709.

    Gradient flows through both operands of the similarities. Labels are not used, even where there are some.
    """

    card = Card(
        title="SimCLR",
        paper="Chen et al. 2020, https://arxiv.org/abs/2002.05709",
        needs="no labels",
        idea="Two views of one image attract, all other images repel.",
        choose_when="you want the simplest, and batches of 256 images and more fit",
        recipe=Recipe("lars", learning_rate=0.4, weight_decay=1e-4),
        presets=PRESETS,
    )

    temperature: float = 0.2
    """divides the cosines; the paper takes 0.1 for long runs on ImageNet and 0.5 for CIFAR-10"""
    hidden: int = 512
    """width of the head's hidden layer; the paper takes the encoder's own width"""
    dim: int = 128
    """width of the space that the loss compares in (paper: 128)"""
    views: ViewPolicy = field(default_factory=simclr)
    """crop, flip, colour jitter, grey, blur"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a two-layer head with batch normalisation."""
        return Nets(encoder=encoder, head=mlp(encoder.width, self.hidden, self.dim))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Two views of each image through one forward pass."""
        views = two_views(self.views, batch, progress)
        first, second = nets.head(nets.encoder(torch.cat(views))).chunk(2)
        return {"first": first, "second": second}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """NT-Xent over the 2B views."""
        loss = nt_xent(outputs["first"], outputs["second"], self.temperature)
        return Step(loss, {"feature_std": feature_std(outputs["first"])})
