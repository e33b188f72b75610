"""SwAV: assign one view to prototypes, used equally often, and predict the assignment from another view."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import Prototypes, mlp
from likewise.losses import sinkhorn, swapped_prediction
from likewise.losses.float32 import unit
from likewise.memory import Queue
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std
from likewise.methods.multi_crop import embed_views, multi_crop
from likewise.methods.recipe import Recipe
from likewise.views.policies import swav, swav_small_crop
from likewise.views.view_policy import ViewPolicy

CODED = ("first", "second")
"""The views that get codes; small crops only predict them."""


SWAV = "https://github.com/facebookresearch/swav (commit 06b1b7c)"
LARGE = {
    "prototypes": 3000,
    "hidden": 2048,
    "small_crops": 6,
    "small_views": replace(swav_small_crop(), size=96),
}
"""What the authors' runs on ImageNet share."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px",
        "ours: ten prototypes a class; the paper has no such run",
        Recipe("lars", learning_rate=0.6, weight_decay=1e-6),
        batch_size=256,
        epochs=400,
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' run on ImageNet with fewer prototypes, fewer crops and a smaller batch",
        Recipe("lars", learning_rate=0.6, weight_decay=1e-6),
        batch_size=512,
        epochs=200,
        settings={"prototypes": 500, "hidden": 2048, "small_crops": 4},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        f"scripts/swav_800ep_pretrain.sh lines 28-50 of {SWAV}; Sec. 4 and App. A of the paper",
        Recipe(
            "lars",
            learning_rate=0.3,
            weight_decay=1e-6,
            start_factor=0.0625,
            end_factor=0.001,
            exclude_bias_and_norm=False,
        ),
        batch_size=4096,
        epochs=800,
        settings=LARGE | {"frozen_until": 1 / 800},
        image_size=224,
    ),
    "imagenet-256": Preset(
        "ImageNet, 224 px, ResNet-50, 4 GPUs",
        f"scripts/swav_200ep_bs256_pretrain.sh lines 28-50 of {SWAV}",
        Recipe(
            "lars",
            learning_rate=0.6,
            weight_decay=1e-6,
            warm_up=0.0,
            end_factor=0.001,
            exclude_bias_and_norm=False,
        ),
        batch_size=256,
        epochs=200,
        settings=LARGE | {"queue": 3840, "queue_from": 15 / 200, "frozen_until": 1 / 200},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class SwAV(Method):
    """Caron et al. 2020, Algorithm 1, https://arxiv.org/abs/2006.09882.

    Codes are balanced over the batches of all ranks. The queue serves from its first rows on, where the authors' code
    waits until it is full; and it holds the rows of both views side by side.
    """

    card = Card(
        title="SwAV",
        paper="Caron et al. 2020, https://arxiv.org/abs/2006.09882",
        needs="no labels",
        idea="Clusters online: a view predicts to which prototypes another view belongs.",
        choose_when="more views are wanted at little cost (small crops join in), or images fall into groups",
        recipe=Recipe("lars", learning_rate=0.6, weight_decay=1e-6),
        presets=PRESETS,
    )

    temperature: float = 0.1
    """divides the cosines with prototypes in the prediction (paper: 0.1)"""
    epsilon: float = 0.05
    """sharpness of the codes (paper: 0.05; the authors advise 0.03 where the loss stays at ln(prototypes))"""
    iterations: int = 3
    """iterations of Sinkhorn-Knopp (paper: 3)"""
    prototypes: int = 100
    """how many; some times as many as there may be classes (paper: 3,000 for ImageNet's 1,000)"""
    frozen_until: float = 0.01
    """share of the run during which prototypes stand still (paper: one epoch of 100 to 800)"""
    queue: int = 0
    """past images that are coded with the batch; for batches smaller than ``prototypes`` (paper: 3,840 at 256)"""
    queue_from: float = 0.05
    """share of the run before the queue is used (paper: 15 epochs of 200 to 400)"""
    small_crops: int = 0
    """further views of a small part in few pixels, which only predict (paper: 6 at best, 0 in its plain form)"""
    hidden: int = 512
    """width of the head's hidden layer (paper: 2,048)"""
    dim: int = 128
    """width of the space that prototypes lie in (paper: 128)"""
    views: ViewPolicy = field(default_factory=swav)
    """of the two views with codes: SimCLR's, but of at least 14% of the image"""
    small_views: ViewPolicy = field(default_factory=swav_small_crop, metadata={"side": 0.5})
    """of the small crops, half as many pixels wide (paper: 96 of 224), of 5 to 14% of the image (of 30 to 75% where
    images are small, as in PAWS)"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder, head, prototypes, and the queue if there is one."""
        head = mlp(encoder.width, self.hidden, self.dim)
        nets = Nets(encoder=encoder, head=head, prototypes=Prototypes(self.dim, self.prototypes))
        if self.queue:
            nets.queue = Queue(self.queue, len(CODED) * self.dim)
        return nets

    def make_views(self, batch: Batch, progress: Progress) -> dict[str, Tensor]:
        """All views of a batch, by name."""
        return multi_crop(self.views, self.small_views, self.small_crops, batch, progress)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Each view on the sphere."""
        outputs = embed_views(nets.encoder, nets.head, self.make_views(batch, progress))
        return {name: unit(z) for name, z in outputs.items()}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Every view predicts the codes of the other views."""
        frozen = progress.branch(lambda now: now.fraction < self.frozen_until)
        scores = {name: nets.prototypes(z, frozen) for name, z in outputs.items()}
        codes = [self._codes(nets, scores[name].detach(), name, progress) for name in CODED]
        loss = swapped_prediction(list(scores.values()), codes, self.temperature)
        metrics = {"feature_std": feature_std(outputs["first"])}
        if not self.queue:
            return Step(loss, metrics)
        coded = torch.cat([outputs[name] for name in CODED], dim=1)  # [B, 2 dim]
        return Step(loss, metrics, memory_updates={"queue": coded})

    def _codes(self, nets: Nets, scores: Tensor, view: str, progress: Progress) -> Tensor:
        """[B, prototypes]: balanced over the batch and what the queue holds so far."""
        size = len(scores)
        if self.queue and progress.branch(lambda now: now.fraction >= self.queue_from):
            # The rest still holds the random rows of the start.
            filled = progress.branch(lambda now: min(now.step * size, self.queue))
            columns = nets.queue.rows[:filled].chunk(len(CODED), dim=1)  # [K, dim] each
            past = columns[CODED.index(view)]
            scores = torch.cat([scores, nets.prototypes(past).detach()])
        return sinkhorn(scores, self.epsilon, self.iterations)[:size]

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Prototypes back to the sphere, the batch into the queue."""
        nets.prototypes.renormalise()
        if self.queue:
            nets.queue.push(step.memory_updates["queue"])
