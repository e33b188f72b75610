"""SuNCEt: SimCLR, and a class-balanced handful of labelled images that should find their own class."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import nt_xent
from likewise.methods.method import Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.presets.suncet import PRESETS
from likewise.methods.recipe import Recipe
from likewise.methods.support_term import SupportTerm
from likewise.views.policies import ViewPolicy, simclr


@dataclass(frozen=True)
class SuNCEt(SupportTerm):
    """Assran et al. 2020, https://arxiv.org/abs/2006.10803.

    Every image, labelled or not, enters the SimCLR term; one view of each support row enters the supervised term,
    and nothing else does. Differs from the authors' later code, which detaches the keys of NT-Xent and so loses half
    of its gradient.
    """

    title = "SuNCEt"
    paper = "Assran et al. 2020, https://arxiv.org/abs/2006.10803"
    needs = "some labels"
    idea = "SimCLR on all images, plus a neighbour loss on a class-balanced handful of labelled ones."
    choose_when = "at least two images of each class are labelled: the first to try"
    recipe = Recipe("lars", learning_rate=0.4, weight_decay=1e-4)
    presets = PRESETS

    temperature: float = 0.2
    """of the SimCLR term; the paper takes 0.1 for ImageNet"""
    hidden: int = 512
    """width of the head's hidden layer"""
    dim: int = 128
    """width of the space that the losses compare in"""
    views: ViewPolicy = field(default_factory=simclr)
    """of both terms, as in the paper"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a two-layer head with batch normalisation, shared by both terms."""
        return Nets(encoder=encoder, head=mlp(encoder.width, self.hidden, self.dim))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Two views of each image and one of each support row, in one forward pass."""
        pixels = two_views(self.views, batch, progress)
        support = batch.support
        if support is not None:
            pixels.append(self.views(support.pixels, progress.rng("support", support)).pixels)
        z = nets.head(nets.encoder(torch.cat(pixels)))
        size = batch.size
        rows = {"first": z[:size], "second": z[size : 2 * size]}
        return rows if support is None else {**rows, "support": z[2 * size :], "labels": support.labels}

    def compute_loss(self, nets: Nets, rows: Outputs, progress: Progress) -> Step:
        """NT-Xent over the views, plus the supervised term over the support with weight 1."""
        unsupervised = nt_xent(rows["first"], rows["second"], self.temperature)
        return self.with_term(Step(unsupervised, {"feature_std": feature_std(rows["first"])}), rows)
