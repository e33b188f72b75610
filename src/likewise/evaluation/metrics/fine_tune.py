"""Fine-tuning: the whole network is trained further on labelled images, from any start."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.encoders import Encoder
from likewise.methods import Nets, Recipe
from likewise.methods.cross_entropy import CrossEntropy
from likewise.randomness import seed_networks
from likewise.training.fine_tuning import fine_tune
from likewise.views.policies import weak
from likewise.views.view_policy import ViewPolicy

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class FineTune:
    """A zero-initialised linear classifier on the encoder; both are trained by cross-entropy.

    The protocol of SuNCEt's paper (Assran et al. 2020, Sec. 5, https://arxiv.org/abs/2006.10803): no head,
    zero-initialised classifier, crop and flip. With an untrained encoder it is training from scratch on labels only.
    """

    steps: int = 200
    """minimum of optimiser steps"""
    epochs: float = 10
    """minimum of passes over the labelled images, so that many labels get more steps than few"""
    batch_size: int = 64
    """labelled images of a step; fewer are repeated, in another view each time"""
    recipe: Recipe = field(default_factory=lambda: Recipe(learning_rate=0.4, weight_decay=5e-4))
    """optimiser and schedule; the learning rate is for a batch of 256"""
    views: ViewPolicy = field(default_factory=weak)
    """augmentation"""
    seed: int = 0
    """of the order of images and the views"""

    def fit(
        self,
        fabric: Fabric,
        encoder: Encoder,
        images: Images,
        labels: Tensor,
        classes: int,
    ) -> Nets:
        """Train a copy of the encoder with a classifier; the encoder itself is unchanged.

        Args:
            fabric: device and precision.
            encoder: the start.
            images: labelled and unlabelled images; only labelled ones are used.
            labels: int64 [N], -1 for unlabelled images.
            classes: number of classes.
        """
        labelled = (labels != UNLABELLED).nonzero().flatten()
        steps = max(self.steps, round(self.epochs * len(labelled) / self.batch_size))
        method = CrossEntropy(views=self.views)
        seed_networks(self.seed, "fine-tuning")
        nets = method.build(copy.deepcopy(encoder), classes)
        fine_tune(
            fabric, method, nets, images, labels, self.recipe, steps, self.batch_size, self.seed
        )
        return nets

    def protocol(self) -> dict[str, Any]:
        """The settings that reproduce the score."""
        return {
            "steps": self.steps,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }
