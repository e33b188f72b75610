"""Barlow Twins: each coordinate says the same of two views, and no two coordinates say the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import barlow_twins
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import byol
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "ours: networks and length of solo-learn's run, https://github.com/vturrisi/solo-learn; its rate belongs to a "
        "LARS that clips",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-6),
        batch_size=256,
        epochs=1000,
        settings={"hidden": 2048, "dim": 2048},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the paper's ImageNet run with a head a quarter as wide and a smaller batch",
        Recipe("lars", learning_rate=0.2, weight_decay=1e-6),
        batch_size=512,
        epochs=400,
        settings={"hidden": 2048, "dim": 2048},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "main.py lines 29-38 and 155-168 of https://github.com/facebookresearch/barlowtwins (commit 8e8d284); Sec. "
        "2.2 of the paper",
        Recipe("lars", learning_rate=0.2, weight_decay=1e-6, end_factor=0.001),
        batch_size=2048,
        epochs=1000,
        settings={"hidden": 8192, "dim": 8192},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class BarlowTwins(Method):
    """Zbontar et al. 2021, Algorithm 1, https://arxiv.org/abs/2103.03230.

    Coordinates are standardised over the batches of all ranks, as by the authors' synchronised batch normalisation.
    The authors train biases at 0.024 times the rate of weights (0.0048 and 0.2). Here the loss is multiplied by that
    instead, which for biases is the same and which the layer-wise rate of LARS divides out for weights.
    """

    card = Card(
        title="Barlow Twins",
        paper="Zbontar et al. 2021, https://arxiv.org/abs/2103.03230",
        needs="no labels",
        idea="Makes the cross-correlation of two views' embeddings the identity: no negatives, no teacher.",
        choose_when="no image should be pushed away and a wide head fits in memory",
        recipe=Recipe("lars", learning_rate=0.4, weight_decay=1e-6),
        presets=PRESETS,
    )

    off_diagonal: float = 0.0051
    """weight of the correlations between different coordinates (paper: 0.005, authors' code: 0.0051)"""
    scale: float = 0.024
    """multiplies the loss; see above"""
    hidden: int = 1024
    """width of the projector's hidden layers (paper: 8,192)"""
    layers: int = 3
    """of the projector (paper: 3)"""
    dim: int = 1024
    """width of the space whose coordinates are decorrelated (paper: 8,192; wider is better there)"""
    first_views: ViewPolicy = field(default_factory=lambda: byol()[0])
    """of the first view: BYOL's, always blurred"""
    second_views: ViewPolicy = field(default_factory=lambda: byol()[1])
    """of the second view: BYOL's, seldom blurred and at times solarized"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Encoder and a wide projector without biases, for its outputs are centred."""
        projector = mlp(encoder.width, self.hidden, self.dim, layers=self.layers, bias=False)
        return Nets(encoder=encoder, projector=projector)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Each view by a forward pass of its own, so that batch normalisation sees one policy at a time."""
        first, second = two_views(self.first_views, batch, progress, other=self.second_views)
        return {
            "first": nets.projector(nets.encoder(first)),  # [B, dim]
            "second": nets.projector(nets.encoder(second)),
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """The cross-correlation of both views against the identity."""
        loss = self.scale * barlow_twins(outputs["first"], outputs["second"], self.off_diagonal)
        return Step(loss, {"feature_std": feature_std(outputs["first"])})
