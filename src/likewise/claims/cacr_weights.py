"""CACR: weighing views and other images by their distance helps."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import Linear, Neighbours
from likewise.claims.protocol import VIEWS
from likewise.losses.attraction_repulsion import attraction_weights, repulsion_weights
from likewise.methods.cacr import CACR
from likewise.randomness import generator
from likewise.runs.settings import TrainSettings

SETTINGS = TrainSettings(labels="none", steps=300, batch_size=128, num_evals=6)


def arm(name: str, attraction: float, repulsion: float) -> Arm:
    """CACR with four positives; with a sharpness of 0 all weights are equal."""
    rule = CACR(
        positives=4, attraction_sharpness=attraction, repulsion_sharpness=repulsion, views=VIEWS
    )
    return Arm(name, rule, SETTINGS, (Linear(), Neighbours()))


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's, of two vectors without ties."""
    ranks = [each.argsort().argsort().double() for each in (first, second)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def lowest_rank_correlation(replicate: Replicate) -> float:
    """The lowest rank correlation over 50 anchors: of attraction with distance, of repulsion with proximity."""
    random = generator(replicate.seed, "CACR's weights")
    normal = torch.randn(50 + 50 * 8 + 40, 16, dtype=torch.float64, generator=random)
    anchors, positives, negatives = F.normalize(normal, dim=1).split([50, 50 * 8, 40])
    positives = positives.view(50, 8, 16)  # eight of each anchor
    attraction = attraction_weights(anchors, positives, 1.0)  # [50, 8]
    repulsion = repulsion_weights(anchors, negatives, 0.9)  # [50, 40]
    to_positives = (anchors[:, None] - positives).norm(dim=2)  # [50, 8]
    to_negatives = torch.cdist(anchors, negatives)  # [50, 40]
    of_attraction = [rank_correlation(*pair) for pair in zip(to_positives, attraction, strict=True)]
    of_repulsion = [-rank_correlation(*pair) for pair in zip(to_negatives, repulsion, strict=True)]
    return min(of_attraction + of_repulsion)


FULL, UNIFORM, ATTRACTION_ONLY = "CACR", "equal weights", "equal repulsion weights"

CLAIM = Claim(
    paper="Zheng et al. 2021, https://arxiv.org/abs/2105.03746",
    sentence="Attracting the farthest positives and repelling the nearest negatives most beats equal weights.",
    check=(
        "Every arm has four positives an image (five views) and forwards the same number of views; the score is a "
        "linear probe on all true labels. Equal weights are the same loss with sharpnesses of 0. The third arm weights "
        "only the attraction. Training takes 4 epochs of 9,000 images instead of 200 of CIFAR-10. The paper's baseline "
        "has a softmax over negatives; this one has none."
    ),
    arms=(arm(FULL, 1.0, 0.9), arm(UNIFORM, 0.0, 0.0), arm(ATTRACTION_ONLY, 1.0, 0.0)),
    statements=(
        Statement("CACR - equal weights", lambda r: r.difference(FULL, UNIFORM, "linear_top1"), ">=", 0.0),
        Statement(
            "CACR - equal repulsion weights", lambda r: r.difference(FULL, ATTRACTION_ONLY, "linear_top1"), ">=", 0.0
        ),
        Statement(
            "lowest rank correlation of weights with distance or proximity",
            lowest_rank_correlation, ">=", 1 - 1e-9, "number", algebra=True,
        ),
    ),
    minutes=8,
    axis="images",
)  # fmt: skip
