"""SupCon: SimCLR with all images of a class as positives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import sup_con
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import simclr, supcon
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10 and CIFAR-100, 32 px, ResNet-50",
        "main_supcon.py lines 38-51 as README.md lines 73-76 start it, of https://github.com/HobbitLong/SupContrast "
        "(commit 66a8fe5): a rate of 0.5 for 1,024 images",
        Recipe(
            "sgd",
            learning_rate=0.125,
            weight_decay=1e-4,
            start_factor=0.01 / 0.5,
            end_factor=0.001,
            exclude_bias_and_norm=False,
        ),
        batch_size=1024,
        epochs=1000,
        settings={"hidden": 2048},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' run on CIFAR with a smaller batch for a shorter time",
        Recipe("sgd", learning_rate=0.125, weight_decay=1e-4),
        batch_size=512,
        epochs=200,
        settings={"hidden": 2048},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "supcon/scripts/supcon_imagenet_resnet50.sh lines 31-39 of "
        "https://github.com/google-research/google-research (commit 0c1bbe5), whose "
        "head is one layer and whose views are AutoAugment's; here they are SimCLR's",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-3),
        batch_size=6144,
        epochs=350,
        settings={"hidden": 2048, "views": simclr()},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class SupCon(Method):
    """Khosla et al. 2020, Eqs. 2 and 3, https://arxiv.org/abs/2004.11362.

    An unlabelled image is a class of its own, so with every label hidden this is SimCLR. The loss is not multiplied
    by temperature / 0.07 as in the authors' PyTorch code, nor by the temperature as in their TensorFlow code: the two
    differ by a factor of 14, which only the learning rate notices.
    """

    card = Card(
        title="SupCon",
        paper="Khosla et al. 2020, https://arxiv.org/abs/2004.11362",
        needs="all labels",
        idea="Images of one class attract, all others repel.",
        choose_when="all images are labelled, or nearly all",
        recipe=Recipe(learning_rate=0.05),
        presets=PRESETS,
    )

    temperature: float = 0.1
    """divides the cosines (paper: 0.1)"""
    kind: Literal["out", "in"] = "out"
    """where the mean over positives is taken: outside the logarithm (the paper's choice) or inside"""
    hidden: int = 512
    """width of the head's hidden layer; the paper takes the encoder's own width"""
    dim: int = 128
    """width of the space that the loss compares in (paper: 128)"""
    views: ViewPolicy = field(default_factory=supcon)
    """crop, flip, colour jitter, grey; no blur"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a two-layer head without batch normalisation, as in the authors' code for CIFAR."""
        head = mlp(encoder.width, self.hidden, self.dim, batch_norm=False)
        return Nets(encoder=encoder, head=head)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Two views of each image, and which class they belong to."""
        views = two_views(self.views, batch, progress)
        first, second = nets.head(nets.encoder(torch.cat(views))).chunk(2)
        return {"first": first, "second": second, "labels": batch.labels}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """L_out or L_in over the 2B views."""
        both = torch.stack([outputs["first"], outputs["second"]], dim=1)  # [B, 2, dim]
        loss = sup_con(both, outputs["labels"], self.temperature, self.kind)
        return Step(loss, {"feature_std": feature_std(outputs["first"])})
