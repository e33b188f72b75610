"""SimSiam: predict your own embedding of another view. No negatives, no teacher."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import cosine_regression
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import moco_v2
from likewise.views.view_policy import ViewPolicy

NETWORKS = {"hidden": 2048, "dim": 2048, "bottleneck": 512}
"""The paper's widths, for every size of images."""

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "App. D of the paper, https://arxiv.org/abs/2011.10566",
        Recipe(
            "sgd", learning_rate=0.03, weight_decay=5e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=512,
        epochs=800,
        settings=NETWORKS,
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: the paper's ImageNet run with a smaller batch for longer",
        Recipe("sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0),
        batch_size=256,
        epochs=400,
        settings=NETWORKS | {"layers": 3},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "main_simsiam.py lines 47-62 and 157 of https://github.com/facebookresearch/simsiam (commit a7bc177); Sec. 3 "
        "of the paper",
        Recipe(
            "sgd", learning_rate=0.05, weight_decay=1e-4, warm_up=0.0, exclude_bias_and_norm=False
        ),
        batch_size=512,
        epochs=100,
        settings=NETWORKS | {"layers": 3},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class SimSiam(Method):
    """Chen & He 2021, Algorithm 1, https://arxiv.org/abs/2011.10566.

    No gradient reaches the target, and a predictor comes before the prediction: without either, everything
    collapses to one point (their Sec. 4). The loss is 1 - cos where the paper has -cos, so that 0 is perfect; the
    gradient is the same. The predictor's rate falls like all others, where the authors' code holds it constant.
    """

    card = Card(
        title="SimSiam",
        paper="Chen & He 2021, https://arxiv.org/abs/2011.10566",
        needs="no labels",
        idea="Predicts its own embedding of another view, with neither negatives nor teacher.",
        choose_when="a step must be as cheap as can be",
        recipe=Recipe(learning_rate=0.06, weight_decay=5e-4),
        presets=PRESETS,
    )

    hidden: int = 1024
    """width of the projector's hidden layers (paper: 2,048)"""
    layers: int = 2
    """of the projector (paper: 2 for CIFAR-10, 3 for ImageNet)"""
    dim: int = 512
    """width of the space that is predicted in (paper: 2,048)"""
    bottleneck: int = 128
    """width of the predictor's hidden layer, a quarter of ``dim`` (paper: 512)"""
    views: ViewPolicy = field(default_factory=moco_v2)
    """crop, flip, colour jitter, grey, blur; without the blur where images are small, as in the paper"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Projector with batch normalisation on its output too, and a predictor that is narrow inside."""
        projector = nn.Sequential(
            mlp(encoder.width, self.hidden, self.dim, layers=self.layers, bias=False),
            nn.BatchNorm1d(self.dim, affine=False),
        )
        predictor = mlp(self.dim, self.bottleneck, self.dim)
        return Nets(encoder=encoder, projector=projector, predictor=predictor)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Each view's prediction p and its target z, which is the same z without its gradient."""
        # One view at a time, for batch normalisation sees each view by itself in the authors' code.
        first, second = two_views(self.views, batch, progress)
        z_first = nets.projector(nets.encoder(first))  # [B, dim]
        z_second = nets.projector(nets.encoder(second))
        return {
            "prediction_first": nets.predictor(z_first),
            "prediction_second": nets.predictor(z_second),
            "target_first": z_first.detach(),
            "target_second": z_second.detach(),
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """The mean of both directions."""
        forth = cosine_regression(outputs["prediction_first"], outputs["target_second"])
        back = cosine_regression(outputs["prediction_second"], outputs["target_first"])
        return Step((forth + back) / 4, {"feature_std": feature_std(outputs["target_first"])})
