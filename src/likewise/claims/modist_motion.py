"""MoDist: a network that has to recognise motion from frames tells kinds of motion apart better than MoCo of clips."""

from __future__ import annotations

from typing import Any

from likewise.claims.claim import Arm, Claim, Statement
from likewise.claims.measures import Linear
from likewise.methods import Recipe
from likewise.methods.modist import MoDist
from likewise.runs.settings import TrainSettings
from likewise.views.policies import ViewPolicy

EDGES, DIFFERENCE, ALONE = "MoDist, flow edges", "MoDist, frame difference", "clips alone (MoCo)"
RECIPE = Recipe("adamw", 6e-3, weight_decay=1e-2)
SETTINGS = TrainSettings(labels="none", steps=350, batch_size=64, frames=5, num_evals=0)
CROP = ViewPolicy(crop_area=(0.7, 1.0), flip=0.0)
VIEWS = ViewPolicy(crop_area=(0.7, 1.0), flip=0.0, jitter=0.8, brightness=0.4, contrast=0.4)
"""Neither is mirrored: to the left and to the right are two classes."""


def arm(name: str, **settings: Any) -> Arm:
    """One way of learning from clips; all else alike."""
    method = MoDist(queue=448, momentum=0.97, views=VIEWS, motion_views=CROP, **settings)
    return Arm(name, method, SETTINGS, (Linear(),), RECIPE)


CLAIM = Claim(
    paper="Xiao et al. 2021, https://arxiv.org/abs/2106.09703",
    sentence=(
        "Frames that are asked for the embedding of their motion teach a network more about motion than clips of one "
        "video that are asked for each other; edges of optical flow serve better than differences of frames."
    ),
    check=(
        "Made clips of 8 frames of 32 pixels: a garment moves over a texture in one of eight ways under a camera "
        "that moves too; flow by dense inverse search. Windows of 5 frames, so that two of one clip show different "
        "instants, as in the paper: where they are the whole clip, clips alone learn motion too. r2plus1d-small, 448 "
        "keys in each queue, 12 epochs of 1,800 clips; a linear classifier of the motion on the frozen network, "
        "which sees frames alone. The paper asks for actions, after 200 epochs or more of Kinetics. That edges do "
        "better than differences is remembered of its ablation, not read."
    ),
    arms=(arm(EDGES), arm(DIFFERENCE, motion="frame-difference"), arm(ALONE, motion_weight=0.0, cross_weight=0.0)),
    statements=(
        Statement("flow edges - clips alone, motion", lambda r: r.ahead(EDGES, ALONE, "linear_top1"), ">=", 0.05),
        Statement(
            "flow edges - frame difference, motion", lambda r: r.ahead(EDGES, DIFFERENCE, "linear_top1"), ">=", 0.0
        ),
    ),
    minutes=10,
    axis="images",
    data="synthetic-flow-videos",
)
