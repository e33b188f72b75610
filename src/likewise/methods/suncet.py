"""SuNCEt: SimCLR, plus a supervised loss on a class-balanced batch of labelled images."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import nt_xent
from likewise.methods.card import Card, Preset
from likewise.methods.method import (
    Nets,
    Outputs,
    Progress,
    Step,
    feature_std,
    forward_concatenated,
    support_labels,
    support_view,
    two_views,
)
from likewise.methods.recipe import Recipe
from likewise.methods.support_term import SupportTerm
from likewise.views.policies import simclr
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px",
        "ours: SimCLR's run on CIFAR-10, https://github.com/google-research/simclr, with the term on for half of it; "
        "the authors' code has no such run",
        Recipe("lars", learning_rate=1.0, weight_decay=1e-6),
        batch_size=512,
        epochs=500,
        settings={"temperature": 0.5, "supervised_until": 0.5},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: as for SimCLR, with the term on for half of the run",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=512,
        epochs=200,
        settings={"supervised_until": 0.5},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, a tenth of the labels, ResNet-50",
        "configs/train_suncet_imgnt_u90_tr500.yaml lines 2-30 of https://github.com/facebookresearch/suncet (commit "
        "5245e4a): 64 GPUs "
        "of 44 images and of 2 images of the same 20 classes, a rate of 4.8 after 0.6",
        Recipe(
            "lars",
            learning_rate=4.8 * 256 / 2816,
            weight_decay=1e-6,
            start_factor=0.125,
            exclude_bias_and_norm=False,
        ),
        batch_size=2816,
        epochs=500,
        settings={
            "temperature": 0.1,
            "hidden": 2048,
            "head_batch_norm": False,
            "classes_per_batch": 20,
            "images_per_class": 128,
            "supervised_until": 0.5,
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class SuNCEt(SupportTerm):
    """Assran et al. 2020, https://arxiv.org/abs/2006.10803.

    Every image, labelled or not, enters the SimCLR term; one view of each support row enters the supervised term,
    and nothing else does. Differs from the authors' later code, which detaches the keys of NT-Xent and so loses half
    of its gradient.
    """

    card = Card(
        title="SuNCEt",
        paper="Assran et al. 2020, https://arxiv.org/abs/2006.10803",
        needs="some labels",
        idea="SimCLR on all images, plus a supervised neighbour loss on a class-balanced labelled batch.",
        choose_when="at least two images of each class are labelled: the first to try",
        recipe=Recipe("lars", learning_rate=0.4, weight_decay=1e-4),
        presets=PRESETS,
    )

    temperature: float = 0.2
    """of the SimCLR term; the paper takes 0.1 for ImageNet"""
    hidden: int = 512
    """width of the head's hidden layer"""
    head_batch_norm: bool = True
    """whether the head has batch normalisation (authors' first code: no)"""
    dim: int = 128
    """width of the space that the losses compare in"""
    views: ViewPolicy = field(default_factory=simclr)
    """of both terms, as in the paper"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a two-layer head, shared by both terms."""
        head = mlp(encoder.width, self.hidden, self.dim, batch_norm=self.head_batch_norm)
        return Nets(encoder=encoder, head=head)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Two views of each image and one of each support row, in one forward pass."""
        first, second = two_views(self.views, batch, progress)
        support = support_view(self.views, batch, progress)
        views = {"first": first, "second": second, **support}
        z = forward_concatenated(nn.Sequential(nets.encoder, nets.head), views)  # [B, dim] each
        return {**z, **support_labels(batch)}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """NT-Xent over the views, plus the supervised term over the support with weight 1."""
        unsupervised = nt_xent(outputs["first"], outputs["second"], self.temperature)
        step = Step(unsupervised, {"feature_std": feature_std(outputs["first"])})
        return self.with_term(step, outputs)
