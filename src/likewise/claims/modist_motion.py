"""MoDist: frames trained against embeddings of their motion classify motions better than MoCo of clips."""

from __future__ import annotations

from typing import Any

from likewise.claims.claim import Arm, Claim, Statement
from likewise.claims.measures import Linear
from likewise.methods import Recipe
from likewise.methods.modist import MoDist
from likewise.runs.settings import TrainSettings
from likewise.views.view_policy import ViewPolicy

EDGES, DIFFERENCE, ALONE = "MoDist, flow edges", "MoDist, frame difference", "clips only (MoCo)"
RECIPE = Recipe("adamw", 6e-3, weight_decay=1e-2)
SETTINGS = TrainSettings(labels="none", steps=350, batch_size=64, frames=5, num_evals=0)
CROP = ViewPolicy(crop_area=(0.7, 1.0), flip=0.0)
VIEWS = ViewPolicy(crop_area=(0.7, 1.0), flip=0.0, jitter=0.8, brightness=0.4, contrast=0.4)
"""no horizontal flip, since motion to the left and motion to the right are two classes"""


def arm(name: str, **settings: Any) -> Arm:
    """One way of learning from clips; everything else is the same."""
    method = MoDist(queue=448, momentum=0.97, views=VIEWS, motion_views=CROP, **settings)
    return Arm(name, method, SETTINGS, (Linear(),), RECIPE)


CLAIM = Claim(
    paper="Xiao et al. 2021, https://arxiv.org/abs/2106.09703",
    sentence=(
        "Frames trained against embeddings of their motion teach a network more about motion than contrast between "
        "clips of one video; edges of optical flow work better than frame differences."
    ),
    check=(
        "Generated clips of 8 frames of 32 pixels: a garment moves over a texture in one of eight ways under a moving "
        "camera; flow by dense inverse search. Windows have 5 frames, so that two windows of one clip cover different "
        "instants, as in the paper; with windows of the whole clip, contrast of clips learns motion too. "
        "r2plus1d-small, 448 keys in each queue, 12 epochs of 1,800 clips; the score is a linear classifier of the "
        "motion on the frozen network, which reads frames only. The paper measures action recognition, after 200 or "
        "more epochs of Kinetics. That edges beat differences is quoted from memory of its ablation."
    ),
    arms=(
        arm(EDGES),
        arm(DIFFERENCE, motion="frame-difference"),
        arm(ALONE, motion_weight=0.0, cross_weight=0.0),
    ),
    statements=(
        Statement(
            "flow edges - clips only, motion",
            lambda r: r.difference(EDGES, ALONE, "linear_top1"),
            ">=",
            0.05,
        ),
        Statement(
            "flow edges - frame difference, motion",
            lambda r: r.difference(EDGES, DIFFERENCE, "linear_top1"),
            ">=",
            0.0,
        ),
    ),
    minutes=10,
    axis="images",
    data="synthetic-flow-videos",
)
