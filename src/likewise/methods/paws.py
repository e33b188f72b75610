"""PAWS: two views of an image should be given the same class by their labelled neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from likewise.data.batch import Batch
from likewise.data.loader import Support
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import mean_entropy, probability_cross_entropy, sharpen, soft_neighbours
from likewise.losses.float32 import unit
from likewise.methods.card import Card, Preset
from likewise.methods.method import (
    Method,
    Nets,
    Outputs,
    Progress,
    Step,
    feature_std,
    forward_concatenated,
    support_labels,
    support_view,
)
from likewise.methods.multi_crop import embed_views, multi_crop
from likewise.methods.recipe import Recipe
from likewise.views.policies import simclr_small, swav, swav_small_crop
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, 4,000 labels, WRN-28-2",
        "configs/paws/cifar10_train.yaml lines 2-41 of https://github.com/facebookresearch/suncet (commit 731547d)",
        Recipe("lars", learning_rate=3.2, weight_decay=1e-6, start_factor=0.25, end_factor=0.01),
        batch_size=256,
        epochs=600,
        settings={
            "images_per_class": 64,
            "small_crops": 6,
            "hidden": 128,
            "views": replace(simclr_small(), crop_area=(0.75, 1.0)),
        },
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the authors' run on ImageNet with narrower heads, fewer crops and a smaller batch",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-6),
        batch_size=512,
        epochs=200,
        settings={"small_crops": 4, "hidden": 2048, "dim": 512},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, 1 or 10% of the labels, ResNet-50",
        "configs/paws/imgnt_train.yaml lines 2-41 of https://github.com/facebookresearch/suncet (commit 731547d), on "
        "64 GPUs; 300 epochs at best",
        Recipe(
            "lars",
            learning_rate=0.4,
            weight_decay=1e-6,
            warm_up=0.1,
            start_factor=0.3 / 6.4,
            end_factor=0.01,
        ),
        batch_size=4096,
        epochs=100,
        settings={
            "classes_per_batch": 960,
            "images_per_class": 7,
            "small_crops": 6,
            "hidden": 2048,
            "dim": 2048,
            "predictor": True,
            "small_views": replace(swav_small_crop(), size=96),
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class PAWS(Method):
    """Assran et al. 2021, Algorithm 1, https://arxiv.org/abs/2104.13963.

    Gradient flows through the predictions and the support that they are made from, never through targets. Classes are
    those in the support of all ranks. Targets below 0.0001 are not set to 0 as in the authors' code, for logarithms
    here do not need it.
    """

    card = Card(
        title="PAWS",
        paper="Assran et al. 2021, https://arxiv.org/abs/2104.13963",
        needs="some labels",
        idea="Predicts a view's class from labelled neighbours, and makes views of one image agree.",
        choose_when="some tens of each class are labelled, and the run is to be short",
        recipe=Recipe("lars", learning_rate=0.4, weight_decay=1e-6),
        presets=PRESETS,
    )

    temperature: float = 0.1
    """divides the cosines with the support (paper: 0.1)"""
    sharpening: float = 0.25
    """temperature of the targets; smaller is surer (paper: 0.25)"""
    label_smoothing: float = 0.1
    """share of a support row's label that is spread over all classes (paper: 0.1)"""
    mean_entropy_weight: float = 1.0
    """of the term that keeps all classes in use (paper: 1)"""
    classes_per_batch: int = 10
    """classes in a support batch, or all if there are fewer (paper: 960 of ImageNet's 1,000, all of CIFAR-10's 10)"""
    images_per_class: int = 16
    """labelled images of each class in a support batch; the more the better (paper: 7 on ImageNet, 64 on CIFAR-10)"""
    small_crops: int = 0
    """further views of a small part in few pixels, which only predict (paper: 6)"""
    hidden: int = 512
    """width of the projector's hidden layers (paper: 2,048; 128 on CIFAR-10)"""
    dim: int = 128
    """width of the space in which neighbours are found (paper: 2,048; 128 on CIFAR-10)"""
    predictor: bool = False
    """whether predictions go through another head, a quarter as wide inside (paper: on ImageNet, not on CIFAR-10)"""
    views: ViewPolicy = field(default_factory=swav)
    """of the two views that are targets too, and of the support"""
    small_views: ViewPolicy = field(default_factory=swav_small_crop, metadata={"side": 0.5})
    """of the small crops (paper: 96 of 224 pixels and 5 to 14% of the image; 18 of 32 and 30 to 75% on CIFAR-10)"""

    @property
    def support(self) -> Support:
        """Classes x images, labelled."""
        return Support(self.classes_per_batch, self.images_per_class)

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder, a projector of three layers, and the predictor if there is one."""
        projector = mlp(encoder.width, self.hidden, self.dim, layers=3)
        predictor: nn.Module = nn.Identity()
        if self.predictor:
            inside = mlp(self.dim, max(self.dim // 4, 2), self.dim)
            predictor = nn.Sequential(nn.BatchNorm1d(self.dim), inside)
        return Nets(encoder=encoder, projector=projector, predictor=predictor)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Predictions and targets of each view and of the support, on the sphere."""
        views = multi_crop(self.views, self.small_views, self.small_crops, batch, progress)
        views |= support_view(self.views, batch, progress)
        projections = embed_views(nets.encoder, nets.projector, views)  # [B, dim] each
        predictions = forward_concatenated(nets.predictor, projections)
        outputs = {name: unit(z) for name, z in predictions.items()}
        for name, h in projections.items():
            if not name.startswith("small"):  # small crops only predict
                outputs[f"{name} target"] = unit(h.detach())
        return {**outputs, **support_labels(batch)}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Each view's prediction against the other's sharpened one, plus mean-entropy maximisation."""
        small = [name for name in outputs if name.startswith("small")]
        predictions = self._classes_of(outputs, ["first", "second", *small])  # [V B, classes]
        both_targets = self._classes_of(outputs, ["first", "second"], " target")  # [2 B, classes]
        first_target, second_target = sharpen(both_targets, self.sharpening).chunk(2)
        mean_target = (second_target + first_target) / 2  # of the small crops
        targets = [second_target, first_target, *[mean_target] * len(small)]  # swapped

        agreement = probability_cross_entropy(predictions, torch.cat(targets))
        entropy = mean_entropy(sharpen(predictions, self.sharpening))
        metrics = {
            "feature_std": feature_std(outputs["first"]),
            "agreement": agreement,
            "entropy": entropy,
        }
        return Step(agreement - self.mean_entropy_weight * entropy, metrics)

    def _classes_of(self, outputs: Outputs, views: list[str], role: str = "") -> Tensor:
        """Class probabilities of the rows of some views, [., classes], by one call."""
        return soft_neighbours(
            torch.cat([outputs[view + role] for view in views]),
            outputs["support" + role],
            outputs["labels"],
            self.temperature,
            self.label_smoothing,
            self.classes_per_batch,
        )
