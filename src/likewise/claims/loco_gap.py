"""LoCo: overlapping units close the gap between isolated stages and end-to-end learning."""

from __future__ import annotations

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import Linear
from likewise.claims.protocol import RECIPE, VIEWS
from likewise.methods import Method
from likewise.methods.loco import LoCo
from likewise.methods.simclr import SimCLR
from likewise.runs.settings import TrainSettings

END_TO_END = "end to end (SimCLR)"
ISOLATED = "isolated stages (GIM)"
OVERLAPPING = "overlapping pairs (LoCo)"


def arm(name: str, method: Method) -> Arm:
    """One way of sending gradients through the four stages of conv4; everything else is the same."""
    settings = TrainSettings(labels="none", steps=350, batch_size=256, num_evals=7)
    return Arm(name, method, settings, (Linear(),), RECIPE)


def gap(replicate: Replicate, name: str) -> float:
    """End-to-end accuracy minus an arm's."""
    return replicate.difference(END_TO_END, name, "linear_top1")


CLAIM = Claim(
    paper="Xiong, Ren and Urtasun 2020, https://arxiv.org/abs/2008.01342",
    sentence="LoCo closes most of the gap between isolated stages (Greedy InfoMax) and end-to-end SimCLR.",
    check=(
        "SimCLR's loss on conv4's four stages: end to end, each stage on its own, or overlapping pairs; the score is a "
        "linear probe on the top stage. LoCo must close at least half of the gap, which can be tested only where "
        "isolated stages lose a point or more. Recipe and temperature are the same; 10 epochs of 9,000 images instead "
        "of 800 of ImageNet."
    ),
    arms=(
        arm(END_TO_END, SimCLR(temperature=0.5, views=VIEWS)),
        arm(ISOLATED, LoCo(overlap=False, temperature=0.5, views=VIEWS)),
        arm(OVERLAPPING, LoCo(temperature=0.5, views=VIEWS)),
    ),
    statements=(
        Statement(
            "half of GIM's gap - LoCo's gap",
            lambda r: 0.5 * gap(r, ISOLATED) - gap(r, OVERLAPPING),
            ">=",
            0.0,
            premise=Statement(
                "GIM's gap to end-to-end learning", lambda r: gap(r, ISOLATED), ">=", 0.01
            ),
        ),
    ),
    minutes=8,
    axis="images",
)
