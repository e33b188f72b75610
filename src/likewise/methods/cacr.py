"""CACR: the farthest views of an image attract the most, the nearest other images repel the most."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.heads import mlp
from likewise.losses.attraction_repulsion import (
    terms_of_views,
    terms_with_queue,
    unit_views,
)
from likewise.memory import Queue, ema_update, make_ema_copy
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, one_view
from likewise.methods.recipe import Recipe
from likewise.views.policies import moco_v2, supcon
from likewise.views.view_policy import ViewPolicy

SMALL_VIEWS = replace(supcon(), jitter=1.0, hue=0.4)
"""Every image is jittered, and its hue is turned by up to 0.4."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, a small AlexNet",
        "small_scale_experiments/cifar10/main_ours.py lines 20-56 of https://github.com/JegZheng/CACR-SSL (commit "
        "fbc9d94); their rate is divided by 10 at epochs 155, 170 and 185, here it falls by a cosine",
        Recipe(
            "sgd", learning_rate=0.12, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=128,
        epochs=200,
        settings={"views": SMALL_VIEWS},
    ),
    "middle": Preset(
        "STL-10 at 64 px, and CIFAR-100",
        "small_scale_experiments/stl10/main_ours.py lines 20-57 of https://github.com/JegZheng/CACR-SSL (commit "
        "fbc9d94); the rate falls as above",
        Recipe(
            "sgd", learning_rate=0.12, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=128,
        epochs=200,
        settings={
            "repulsion_sharpness": 2.0,
            "views": replace(SMALL_VIEWS, crop_area=(0.08, 1.0)),
        },
    ),
    "imagenet": Preset(
        "ImageNet-1k and -22k and WebVision, 224 px, ResNet-50",
        "large_scale_shift_experiments/README.md lines 44-59 of https://github.com/JegZheng/CACR-SSL (commit fbc9d94)",
        Recipe(
            "sgd", learning_rate=0.03, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=256,
        epochs=200,
        settings={
            "repulsion_sharpness": 2.0,
            "through_weights": False,
            "queue": 65536,
            "momentum": 0.999,
            "hidden": 2048,
            "head_batch_norm": False,
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class CACR(Method):
    """Zheng et al. 2021, Eqs. 3 to 5, https://arxiv.org/abs/2105.03746.

    With a queue, a teacher embeds the keys: a view is attracted by the teacher's other views, and repelled by the
    queue and by the other images' same view at once. The authors' code for large data multiplies with the queue once
    and re-uses the first view's products for all views, so that only one view is repelled by the queue; here each is.
    There, too, gradient flows through some of the weights and not through others; here through all or through none.
    All views go through the network together, so batch normalisation sees them together.
    """

    card = Card(
        title="CACR",
        paper="Zheng et al. 2021, https://arxiv.org/abs/2105.03746",
        needs="no labels",
        idea="Attracts an image's farthest views and repels the nearest other images most.",
        choose_when="data are unbalanced or uncurated, and several views of an image are affordable",
        recipe=Recipe(learning_rate=0.12, weight_decay=1e-4),
        presets=PRESETS,
    )

    positives: int = 4
    """other views of each image (paper: 4, and 1); an image costs one more pass than that"""
    attraction_sharpness: float = 1.0
    """multiplies squared distances to positives; 0: equal weights (paper: 1)"""
    repulsion_sharpness: float = 0.9
    """multiplies squared distances to other images; 0: equal weights (paper: 0.9 for CIFAR-10, 2 for larger data)"""
    through_weights: bool = True
    """whether gradient flows through the weights (authors' code: yes, but not for ImageNet)"""
    queue: int = 0
    """past keys that repel too; 0: neither queue nor teacher (authors' code: 65,536 for ImageNet)"""
    momentum: float = 0.99
    """of the teacher, where there is a queue (paper: 0.999 for 200 epochs; shorter runs want a faster teacher)"""
    hidden: int = 512
    """width of the head's hidden layer"""
    head_batch_norm: bool = True
    """whether the head has batch normalisation (authors' code for ImageNet: no)"""
    dim: int = 128
    """width of the space that the loss compares in (paper: 128)"""
    views: ViewPolicy = field(default_factory=moco_v2)
    """crop, flip, colour jitter, grey, blur"""

    def __post_init__(self) -> None:
        if not isinstance(self.positives, int) or self.positives < 1:
            raise LikewiseError(
                f"CACR(positives={self.positives!r}): allowed is a whole number, 1 or more; the paper takes 4."
            )

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a two-layer head; with a queue also the teacher that fills it."""
        head = mlp(encoder.width, self.hidden, self.dim, batch_norm=self.head_batch_norm)
        if not self.queue:
            return Nets(encoder=encoder, head=head)
        teacher = make_ema_copy(nn.Sequential(encoder, head))
        queue = Queue(self.queue, self.dim)
        return Nets(encoder=encoder, head=head, teacher=teacher, queue=queue)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """All views of each image, by the teacher too if there is one."""
        views = torch.cat(self.draw_views(batch, progress))
        outputs = {"queries": self._by_image(nets.head(nets.encoder(views)))}
        if self.queue:
            with torch.no_grad():
                outputs["keys"] = self._by_image(nets.teacher(views))
        return outputs

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Attraction to the other views, repulsion from other images."""
        weights = self.attraction_sharpness, self.repulsion_sharpness, self.through_weights
        queries = unit_views(outputs["queries"])  # [V, B, dim]
        memory_updates = {}
        if "keys" in outputs:
            keys = unit_views(outputs["keys"])  # [V, B, dim]
            attraction, repulsion = terms_with_queue(queries, keys, nets.queue.rows, *weights)
            # Of one view, as in the authors' code: an image enters once.
            memory_updates["queue"] = keys[-1]
        else:
            attraction, repulsion = terms_of_views(queries, *weights)
        metrics = {
            "feature_std": feature_std(queries[0]),
            "attraction": attraction,
            "repulsion": repulsion,
        }
        return Step(attraction + repulsion, metrics, memory_updates)

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Push the keys, then update the EMA teacher."""
        if "queue" in step.memory_updates:
            nets.queue.push(step.memory_updates["queue"])
            ema_update(nets.teacher, nn.Sequential(nets.encoder, nets.head), self.momentum)

    def draw_views(self, batch: Batch, progress: Progress) -> list[Tensor]:
        """Each image's views, float [B, C, S, S] each."""
        names = [f"view {v}" for v in range(self.positives + 1)]
        return [one_view(self.views, batch, progress, name) for name in names]

    def _by_image(self, z: Tensor) -> Tensor:
        """Outputs view by view [V * B, D] -> [B, V, D]."""
        return z.unflatten(0, (self.positives + 1, -1)).transpose(0, 1)
