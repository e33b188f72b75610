"""y-Aware: images attract in proportion to how similar their targets are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.columns.column import Column, ColumnTransform
from likewise.data.columns.targets import TARGETS, TargetColumn, TargetTransform
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.heads import mlp
from likewise.losses import y_aware_nce
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import supcon
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "images of 28 to 64 px",
        "ours: SupCon's run on CIFAR with a smaller batch; the authors have none of this size",
        Recipe("sgd", learning_rate=0.125, weight_decay=1e-4),
        batch_size=512,
        epochs=500,
        settings={"hidden": 2048},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: as for small images, for a shorter time",
        Recipe("sgd", learning_rate=0.125, weight_decay=1e-4),
        batch_size=256,
        epochs=200,
        settings={"hidden": 2048},
    ),
    "imagenet": Preset(
        "photographs, 224 px",
        "ours: SimCLR's optimiser; the authors train on 3D brain scans, with Adam and batches of 64",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6, warm_up=0.1),
        batch_size=1024,
        epochs=100,
        settings={"hidden": 2048},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class YAware(Method):
    """Dufumier et al. 2021, Eq. 3, https://arxiv.org/abs/2106.08808.

    For numbers the similarity of two images is a Gaussian kernel of the distance between their targets, which are
    standardised on the training set. For several classes an image it is the overlap of the two sets of classes
    (Jaccard index), so that images with the same classes are full positives and images with none in common are
    negatives; with one class an image that is SupCon between the two views.
    """

    card = Card(
        title="y-Aware",
        paper="Dufumier et al. 2021, https://arxiv.org/abs/2106.08808",
        needs="no labels",
        idea="Images attract in proportion to the similarity of their targets: numbers, or sets of classes.",
        choose_when="labels are numbers, or several classes an image",
        also_needs="targets: numbers or several classes of each image (--task regression or multilabel)",
        recipe=Recipe(learning_rate=0.05),
        presets=PRESETS,
    )

    temperature: float = 0.1
    """divides the cosines (paper: 0.1)"""
    bandwidth: float = 1.0
    """width of the Gaussian kernel in standard deviations of the targets; for numbers alone"""
    hidden: int = 512
    """width of the head's hidden layer"""
    dim: int = 128
    """width of the space that the loss compares in"""
    views: ViewPolicy = field(default_factory=supcon)
    """crop, flip, colour jitter, grey; no blur"""

    def __post_init__(self) -> None:
        if self.bandwidth <= 0:
            raise LikewiseError(
                f"YAware(bandwidth={self.bandwidth}): allowed is a number above 0, for instance 1.0."
            )

    @property
    def modalities(self) -> tuple[str, ...]:
        """It learns from targets."""
        return (TARGETS,)

    def column_transforms(self, columns: Mapping[str, Column]) -> Mapping[str, ColumnTransform]:
        """Targets, standardised where they are numbers."""
        column = columns[TARGETS]
        assert isinstance(column, TargetColumn)
        return {TARGETS: TargetTransform.fitted(column)}

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a two-layer head without batch normalisation."""
        head = mlp(encoder.width, self.hidden, self.dim, batch_norm=False)
        return Nets(encoder=encoder, head=head)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Two views of each image, and its targets."""
        views = two_views(self.views, batch, progress)
        first, second = nets.head(nets.encoder(torch.cat(views))).chunk(2)
        return {"first": first, "second": second, TARGETS: batch.modalities[TARGETS]}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Each view is compared with the other view of every image."""
        similarity = self._similarity(outputs[TARGETS])  # [B, B]
        loss = y_aware_nce(outputs["first"], outputs["second"], similarity, self.temperature)
        return Step(loss, {"feature_std": feature_std(outputs["first"])})

    def _similarity(self, targets: Tensor) -> Tensor:
        """How similar the targets of each two images are, float [B, B], 1 on the diagonal."""
        if targets.dtype == torch.bool:
            return jaccard(targets)
        squared_distances = torch.cdist(targets, targets).square()  # [B, B]
        return (-squared_distances / (2 * self.bandwidth**2)).exp()


def jaccard(indicators: Tensor) -> Tensor:
    """The overlap of each two sets of classes, |A and B| / |A or B|: bool [B, T] -> float [B, B].

    Two images without any class agree in that, so their overlap is 1.
    """
    table = indicators.float()
    common = table @ table.T  # [B, B]
    sizes = table.sum(dim=1)
    union = sizes[:, None] + sizes[None, :] - common
    return torch.where(union > 0, common / union.clamp(min=1), 1.0)
