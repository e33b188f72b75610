"""SetSim: contrast of matched sets of locations learns better maps than whole images, or than nearest locations."""

from __future__ import annotations

from likewise.claims.claim import Arm, Claim, Statement
from likewise.claims.dense_measures import MatchPrecision, PixelClassifier
from likewise.losses.matched_sets import Matcher
from likewise.methods import Recipe
from likewise.methods.setsim import SetSim
from likewise.runs.settings import TrainSettings
from likewise.views.policies import supcon

SETS = "sets of locations (SetSim)"
WHOLE = "whole images (MoCo v2)"
NEAREST = "nearest locations (DenseCL)"
RECIPE = Recipe("sgd", 0.3, warm_up=0.1)
SETTINGS = TrainSettings(labels="none", steps=200, batch_size=128, num_evals=0)


def arm(name: str, weight: float, matcher: Matcher) -> Arm:
    """One way of learning from scenes; everything else is the same."""
    method = SetSim(weight=weight, matcher=matcher, queue=2048, views=supcon())
    return Arm(name, method, SETTINGS, (PixelClassifier(), MatchPrecision()), RECIPE)


CLAIM = Claim(
    paper="Wang et al. 2021, Sec. 4, https://arxiv.org/abs/2107.08712",
    sentence="Matched sets of locations learn better maps than whole images, or than single nearest locations.",
    check=(
        "Scenes of 64 pixels with two or three garments on a texture; conv4's map of 8 x 8; the score is a linear "
        "pixel classifier on the frozen map, mean IoU over eleven classes of 500 test scenes. MoCo v2 is SetSim at "
        "weight 0, DenseCL's correspondence is its matcher without attention. Matches are counted on test scenes with "
        "SetSim's encoder: the share of pairs whose two locations show the same garment, by attention and by nearest "
        "location. 6 epochs of 4,000 scenes instead of 200 of ImageNet, and segmentation instead of detection."
    ),
    arms=(
        arm(SETS, 0.5, Matcher()),
        arm(WHOLE, 0.0, Matcher()),
        arm(NEAREST, 0.5, Matcher(attention=False)),
    ),
    statements=(
        Statement(
            "SetSim - MoCo v2, mean IoU",
            lambda r: r.difference(SETS, WHOLE, "linear_miou"),
            ">=",
            0.01,
        ),
        Statement(
            "SetSim - DenseCL, mean IoU",
            lambda r: r.difference(SETS, NEAREST, "linear_miou"),
            ">=",
            0.0,
        ),
        Statement(
            "matches on one garment, attention - nearest",
            lambda r: r.score(SETS, "matched_by_attention") - r.score(SETS, "matched_by_nearest"),
            ">=",
            0.0,
        ),
    ),
    minutes=8,
    axis="images",
    data="fashion-scenes",
)
