"""Fine-tuning: the whole network trained further on the labelled images, from whatever start."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.data.loader import Loader
from likewise.encoders import Encoder
from likewise.methods import Nets, Recipe, with_view_size
from likewise.methods.cross_entropy import CrossEntropy
from likewise.randomness import seed_networks
from likewise.training import LoopSettings, train
from likewise.views.policies import ViewPolicy, weak


@dataclass(frozen=True)
class FineTune:
    """A linear classifier that starts at zero on the encoder, and both trained by cross-entropy.

    The protocol of SuNCEt's paper (Assran et al. 2020, Sec. 5, https://arxiv.org/abs/2006.10803): no head, a
    zero-initialised classifier, crop and flip. Labels only, from a random start, is the same with an untrained encoder.
    """

    steps: int = 200
    """optimiser steps at least"""
    epochs: float = 10
    """passes over the labelled images at least; many labels are worth more steps than few"""
    batch_size: int = 64
    """labelled images of a step; where there are fewer, they are repeated, each time in another view"""
    recipe: Recipe = field(default_factory=lambda: Recipe(learning_rate=0.4, weight_decay=5e-4))
    """optimiser and schedule; the rate is for a batch of 256"""
    views: ViewPolicy = field(default_factory=weak)
    """what the network is shown"""
    seed: int = 0
    """of the order and the views"""

    def fit(self, fabric: Fabric, encoder: Encoder, images: Images, labels: Tensor, classes: int) -> Nets:
        """Train a copy of the encoder with a classifier; the encoder itself is left as it is.

        Args:
            fabric: device and precision.
            encoder: the start.
            images: the labelled images among others.
            labels: int64 [N], -1 for the others.
            classes: how many there are.
        """
        labelled = (labels != UNLABELLED).nonzero().flatten()
        repeated = labelled.repeat(math.ceil(self.batch_size / len(labelled)))
        loader = Loader(images.take(repeated), labels[repeated], self.batch_size, self.seed)
        steps = max(self.steps, round(self.epochs * len(labelled) / self.batch_size))
        method = with_view_size(CrossEntropy(views=self.views), images.size, images.frames)
        seed_networks(self.seed, "fine-tuning")
        nets = method.build(copy.deepcopy(encoder), classes)
        train(fabric, method, nets, loader, self.recipe, LoopSettings(steps, self.seed, log_every=steps))
        return nets

    def protocol(self) -> dict[str, Any]:
        """What a reader needs to ask for the score again."""
        return {
            "steps": self.steps,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }
