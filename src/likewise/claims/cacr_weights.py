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
    """CACR with four positives; a sharpness of 0 weighs all alike."""
    rule = CACR(positives=4, attraction_sharpness=attraction, repulsion_sharpness=repulsion, views=VIEWS)
    return Arm(name, rule, SETTINGS, (Linear(), Neighbours()))


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's, of two vectors without ties."""
    ranks = [each.argsort().argsort().double() for each in (first, second)]
    return float(torch.corrcoef(torch.stack(ranks))[0, 1])


def least_order(replicate: Replicate) -> float:
    """The least rank correlation over 50 anchors: of attraction with distance, of repulsion with nearness."""
    chance = generator(replicate.seed, "CACR's weights")
    rows = F.normalize(torch.randn(50 + 50 * 8 + 40, 16, dtype=torch.float64, generator=chance), dim=1)
    anchors, positives, others = rows[:50], rows[50:450].view(50, 8, 16), rows[450:]
    pulled, pushed = attraction_weights(anchors, positives, 1.0), repulsion_weights(anchors, others, 0.9)
    far, apart = (anchors[:, None] - positives).norm(dim=2), torch.cdist(anchors, others)
    orders = [rank_correlation(*pair) for pair in zip(far, pulled, strict=True)]
    return min(orders + [-rank_correlation(*pair) for pair in zip(apart, pushed, strict=True)])


FULL, UNIFORM, ATTRACTION_ONLY = "CACR", "all weights alike", "repulsion's weights alike"

CLAIM = Claim(
    paper="Zheng et al. 2021, https://arxiv.org/abs/2105.03746",
    sentence="Attracting the farthest views and repelling the nearest images most learns better than equal weights.",
    check=(
        "Four positives an image (five views), equal views forwarded, a linear probe on all true labels. Equal "
        "weights are the same loss with sharpnesses of 0: contrast with four positives that asks for no hard ones. "
        "The third arm weighs the attraction alone. 4 epochs of 9,000 images instead of 200 of CIFAR-10, where the "
        "paper's other contrast has a softmax over negatives, which this one has not."
    ),
    arms=(arm(FULL, 1.0, 0.9), arm(UNIFORM, 0.0, 0.0), arm(ATTRACTION_ONLY, 1.0, 0.0)),
    statements=(
        Statement("CACR - all weights alike", lambda r: r.ahead(FULL, UNIFORM, "linear_top1"), ">=", 0.0),
        Statement(
            "CACR - repulsion's weights alike", lambda r: r.ahead(FULL, ATTRACTION_ONLY, "linear_top1"), ">=", 0.0
        ),
        Statement(
            "least rank correlation of weights with distance or nearness",
            least_order, ">=", 1 - 1e-9, "number", algebra=True,
        ),
    ),
    minutes=8,
    axis="images",
)  # fmt: skip
