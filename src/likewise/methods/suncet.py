"""SuNCEt: SimCLR, and a class-balanced handful of labelled images that should find their own class."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import nt_xent, suncet
from likewise.methods.method import Method, Nets, Progress, Rows, Step, spread, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import ViewPolicy, simclr


@dataclass(frozen=True)
class SuNCEt(Method):
    """Assran et al. 2020, https://arxiv.org/abs/2006.10803.

    Every image, labelled or not, enters the SimCLR term; one view of each support row enters the supervised term,
    and nothing else does. Differs from the authors' later code, which detaches the keys of NT-Xent and so loses half
    of its gradient; and no support row is loaded or embedded once the term is off.
    """

    title = "SuNCEt"
    paper = "Assran et al. 2020, https://arxiv.org/abs/2006.10803"
    needs = "some labels"
    idea = "SimCLR on all images plus a neighbour loss on the few labelled ones; the choice with a few labels a class."
    recipe = Recipe("lars", learning_rate=0.4, weight_decay=1e-4)

    temperature: float = 0.2
    """of the SimCLR term; the paper takes 0.1 for ImageNet"""
    support_temperature: float = 0.1
    """of the supervised term (paper: 0.1)"""
    classes_per_batch: int = 10
    """classes in a support batch, or all if there are fewer (paper: 20 a GPU)"""
    images_per_class: int = 8
    """labelled images of each class in a support batch; at least 2 (paper: 2 on 64 GPUs that share classes)"""
    supervised_until: float = 1.0
    """share of the run after which the supervised term is switched off (paper: 250 of 500 epochs)"""
    hidden: int = 512
    """width of the head's hidden layer"""
    dim: int = 128
    """width of the space that the losses compare in"""
    views: ViewPolicy = field(default_factory=simclr)
    """of both terms, as in the paper"""

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    def support_steps(self, steps: int) -> int:
        """The supervised term is on for the first part of the run."""
        return round(self.supervised_until * steps)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a two-layer head with batch normalisation, shared by both terms."""
        return Nets(encoder=encoder, head=mlp(encoder.width, self.hidden, self.dim))

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Rows:
        """Two views of each image and one of each support row, in one forward pass."""
        pixels = two_views(self.views, batch, progress)
        support = batch.support
        if support is not None:
            pixels.append(self.views(support.pixels, progress.draws("support", support)).pixels)
        z = nets.head(nets.encoder(torch.cat(pixels)))
        size = batch.size
        rows = {"first": z[:size], "second": z[size : 2 * size]}
        return rows if support is None else {**rows, "support": z[2 * size :], "labels": support.labels}

    def contrast(self, nets: Nets, rows: Rows, progress: Progress) -> Step:
        """NT-Xent over the views, plus the supervised term over the support with weight 1."""
        unsupervised = nt_xent(rows["first"], rows["second"], self.temperature)
        metrics = {"spread": spread(rows["first"]), "unsupervised": unsupervised.detach()}
        if "support" not in rows:
            return Step(unsupervised, metrics)
        supervised = suncet(rows["support"], rows["labels"], self.support_temperature)
        return Step(unsupervised + supervised, {**metrics, "supervised": supervised.detach()})
