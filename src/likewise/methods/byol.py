"""BYOL: predict what a slowly moving copy of yourself says of another view. No negatives."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from likewise.data.batch import Batch
from likewise.encoders import Encoder
from likewise.heads import mlp
from likewise.losses import cosine_regression
from likewise.memory import ema_update, make_ema_copy, momentum_to_one
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, two_views
from likewise.methods.recipe import Recipe
from likewise.views.policies import byol
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "CIFAR-10, 32 px, ResNet-18",
        "ours: networks, teacher and length of solo-learn's run, https://github.com/vturrisi/solo-learn; its rate of "
        "1 belongs to a LARS that clips",
        Recipe("lars", learning_rate=0.4, weight_decay=1e-5),
        batch_size=256,
        epochs=1000,
        settings={"hidden": 4096},
    ),
    "middle": Preset(
        "photographs, 96 to 128 px",
        "ours: what the paper has for 300 epochs of ImageNet, with a smaller batch",
        Recipe("lars", learning_rate=0.3, weight_decay=1e-6),
        batch_size=512,
        epochs=300,
        settings={"hidden": 4096},
    ),
    "imagenet": Preset(
        "ImageNet, 224 px, ResNet-50",
        "Sec. 3 of the paper (implementation details), https://arxiv.org/abs/2006.07733",
        Recipe("lars", learning_rate=0.2, weight_decay=1.5e-6),
        batch_size=4096,
        epochs=1000,
        settings={"momentum": 0.996, "hidden": 4096},
        image_size=224,
    ),
    "imagenet-short": Preset(
        "ImageNet, 224 px, ResNet-50, a tenth of the epochs",
        "byol/configs/byol.py lines 21-65 of https://github.com/google-deepmind/deepmind-research (commit f5de0ed)",
        Recipe("lars", learning_rate=0.45, weight_decay=1e-6, warm_up=0.1),
        batch_size=4096,
        epochs=100,
        settings={"hidden": 4096},
        image_size=224,
    ),
}


@dataclass(frozen=True)
class BYOL(Method):
    """Grill et al. 2020, Eq. 2 and Appendix J, https://arxiv.org/abs/2006.07733.

    The teacher holds encoder and projector, never the predictor. Both directions are summed, as in the paper;
    averaging them instead halves the gradient. Batch normalisation in the heads is what keeps short runs from
    collapsing; do not remove it.
    """

    card = Card(
        title="BYOL",
        paper="Grill et al. 2020, https://arxiv.org/abs/2006.07733",
        needs="no labels",
        idea="Predicts what a slow teacher says of another view of the same image, without negatives.",
        choose_when="many images are so similar that none should be pushed away; batches may be small",
        recipe=Recipe("lars", learning_rate=0.4, weight_decay=1e-5),
        presets=PRESETS,
    )

    momentum: float = 0.99
    """of the teacher at the start; rises to 1 by a cosine (paper: 0.996 for 1000 epochs, 0.99 for 300)"""
    hidden: int = 1024
    """width of projector's and predictor's hidden layer (paper: 4,096)"""
    dim: int = 256
    """width of the space that is predicted in (paper: 256)"""
    first_views: ViewPolicy = field(default_factory=lambda: byol()[0])
    """of the first view, always blurred; each network sees both"""
    second_views: ViewPolicy = field(default_factory=lambda: byol()[1])
    """of the second view, seldom blurred and at times solarized (paper: Table 6)"""

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Student with projector and predictor; a teacher without predictor."""
        projector = mlp(encoder.width, self.hidden, self.dim)
        predictor = mlp(self.dim, self.hidden, self.dim)
        teacher = make_ema_copy(nn.Sequential(encoder, projector))
        return Nets(encoder=encoder, projector=projector, predictor=predictor, teacher=teacher)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """The student's prediction and the teacher's target for each view."""
        first, second = two_views(self.first_views, batch, progress, other=self.second_views)
        prediction_first = nets.predictor(nets.projector(nets.encoder(first)))  # [B, dim]
        with torch.no_grad():
            target_first = nets.teacher(first)  # [B, dim]
        prediction_second = nets.predictor(nets.projector(nets.encoder(second)))
        with torch.no_grad():
            target_second = nets.teacher(second)
        return {
            "prediction_first": prediction_first,
            "target_first": target_first,
            "prediction_second": prediction_second,
            "target_second": target_second,
        }

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """The prediction for each view against the teacher's target for the other."""
        first_to_second = cosine_regression(outputs["prediction_first"], outputs["target_second"])
        second_to_first = cosine_regression(outputs["prediction_second"], outputs["target_first"])
        return Step(
            first_to_second + second_to_first,
            {"feature_std": feature_std(outputs["prediction_first"])},
        )

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Update the EMA teacher, whose momentum rises to 1."""
        momentum = momentum_to_one(progress.fraction, self.momentum)
        ema_update(nets.teacher, nn.Sequential(nets.encoder, nets.projector), momentum)
