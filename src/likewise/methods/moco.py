"""MoCo v2: an image is like its slowly moving self, unlike a queue of earlier images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import queue_nce
from likewise.losses.float32 import unit
from likewise.memory import Queue, ema_update, make_ema_copy
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import moco_v2, supcon
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "colab/moco_cifar10_demo.ipynb lines 150-169 of https://github.com/facebookresearch/moco (commit f736491), "
        "which has no hidden layer in the head",
        Recipe(
            "sgd", learning_rate=0.03, weight_decay=5e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=512,
        epochs=200,
        settings={"temperature": 0.1, "views": replace(supcon(), crop_area=(0.08, 1.0))},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the paper's rate, with the queue and the faster teacher that a set of some 100,000 images wants",
        Recipe("sgd", learning_rate=0.03, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=200,
        settings={"queue": 16384, "momentum": 0.996},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "README.md lines 44-51 of https://github.com/facebookresearch/moco (commit 132aea9); Sec. 3 of the paper; 800 "
        "epochs at best",
        Recipe(
            "sgd", learning_rate=0.03, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=256,
        epochs=200,
        settings={"queue": 65536, "momentum": 0.999, "hidden": 2048},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class MoCoV2(Method):
    """He et al. 2020, Algorithm 1, https://arxiv.org/abs/1911.05722; Chen et al. 2020, https://arxiv.org/abs/2003.04297.

    The EMA update comes after the optimiser's step, which equals an update before the next forward pass. Batch-norm
    statistics span the global batch, so there is no per-device batch to shuffle.
    """

    card = Card(
        title="MoCo v2",
        paper="Chen et al. 2020, https://arxiv.org/abs/2003.04297",
        needs="no labels",
        idea="Two views of one image attract; a queue of earlier images repels, and an EMA teacher makes the keys.",
        choose_when="batches must be small",
        recipe=Recipe(learning_rate=0.06, weight_decay=5e-4),
        presets=PRESETS,
    )

    temperature: float = 0.2
    """divides the cosines (paper: 0.2)"""
    momentum: float = 0.99
    """of the teacher (paper: 0.999 for long runs on ImageNet; shorter runs want a faster teacher)"""
    queue: int = 4096
    """past keys that are negatives (paper: 65,536 of ImageNet's 1.28 million)"""
    hidden: int = 512
    """width of the head's hidden layer (paper: 2,048, the encoder's own)"""
    dim: int = 128
    """width of the space that the loss compares in (paper: 128)"""
    views: ViewPolicy = field(default_factory=moco_v2)
    """crop, flip, colour jitter, grey, blur"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Student, its EMA copy, and the queue."""
        head = mlp(encoder.width, self.hidden, self.dim, batch_norm=False)
        teacher = make_ema_copy(nn.Sequential(encoder, head))
        queue = Queue(self.queue, self.dim)
        return Nets(encoder=encoder, head=head, teacher=teacher, queue=queue)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The student embeds one view, the teacher the other."""
        first, second = two_views(self.views, batch, progress)
        query = unit(nets.head(nets.encoder(first)))
        with torch.no_grad():
            key = unit(nets.teacher(second))
        return {"query": query, "key": key}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """One positive and the whole queue as negatives."""
        loss = queue_nce(outputs["query"], outputs["key"], nets.queue.rows, self.temperature)
        metrics = {"feature_std": feature_std(outputs["query"])}
        return Step(loss, metrics, memory_updates={"queue": outputs["key"]})

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Push the keys, then update the EMA teacher."""
        nets.queue.push(step.memory_updates["queue"])
        ema_update(nets.teacher, nn.Sequential(nets.encoder, nets.head), self.momentum)
