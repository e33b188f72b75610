"""SuNCEt: with a tenth of the labels, it reaches SimCLR's accuracy sooner."""

from __future__ import annotations

import math

import torch

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import Linear, Neighbours
from likewise.claims.protocol import RECIPE, VIEWS
from likewise.losses import suncet, sup_con
from likewise.methods.simclr import SimCLR
from likewise.methods.suncet import SuNCEt
from likewise.randomness import generator
from likewise.runs.settings import TrainSettings

MEASURES = (Neighbours(), Linear(on_budget=True))
SIMCLR, SUNCET, HALF = "SimCLR", "SimCLR + SuNCEt", "SimCLR + SuNCEt, half the epochs"
STEPS, BATCH = 450, 256
UNLABELLED = 176
"""images of a step without the support: 2 x 176 + 10 x 16 views are SimCLR's 2 x 256"""


def suncet_arm(name: str, steps: int) -> Arm:
    """SimCLR + SuNCEt on 10% of the labels."""
    settings = TrainSettings(labels="10%", steps=steps, batch_size=UNLABELLED, num_evals=15)
    return Arm(name, SuNCEt(temperature=0.5, views=VIEWS), settings, MEASURES, RECIPE)


def largest_gap(replicate: Replicate) -> float:
    """Largest |SuNCEt + mean log |P| - L_in| over 100 random batches in which each class has four rows."""
    random = generator(replicate.seed, "SuNCEt and L_in")
    gaps = []
    for _ in range(100):
        z = torch.randn(16, 8, dtype=torch.float64, generator=random)
        labels = torch.arange(16) % 4
        by_suncet = float(suncet(z, labels, 0.1)) + math.log(3)
        by_sup_con = float(sup_con(z, labels, 0.1, "in"))
        gaps.append(abs(by_suncet - by_sup_con))
    return max(gaps)


CLAIM = Claim(
    paper="Assran et al. 2020, https://arxiv.org/abs/2006.10803",
    sentence="With a few labels in pre-training, SuNCEt reaches SimCLR's accuracy in less than half the pre-training.",
    check=(
        "A tenth of the labels. Equal views a step, as in the paper: 160 support rows replace 80 of SimCLR's 256 "
        "images, so a SuNCEt epoch has more steps and costs more. First, the point where the online score (nearest "
        "neighbours on validation images) reaches SimCLR's last one, in epochs and in views forwarded, support "
        "included. Second, since a longer schedule learns late, a run of half the epochs with its own schedule, as in "
        "the paper, on test images. The paper fine-tunes with the labels; here the scores are nearest neighbours and a "
        "probe on the tenth of the labels."
    ),
    arms=(
        Arm(SIMCLR, SimCLR(temperature=0.5, views=VIEWS),
            TrainSettings(labels="10%", steps=STEPS, batch_size=BATCH, num_evals=15), MEASURES, RECIPE),
        suncet_arm(SUNCET, STEPS),
        suncet_arm(HALF, round(STEPS / 2 * BATCH / UNLABELLED)),
    ),
    statements=(
        Statement("epochs to reach SimCLR's last online score, as a share of SimCLR's",
                  lambda r: r.share_to_reach(SUNCET, SIMCLR, "epochs"), "<=", 0.5, "share", "median"),
        Statement("views forwarded to reach it, as a share of SimCLR's",
                  lambda r: r.share_to_reach(SUNCET, SIMCLR, "images"), "<=", 0.6, "share", "median"),
        Statement("half the epochs - SimCLR, nearest neighbours on test images",
                  lambda r: r.difference(HALF, SIMCLR, "knn20_top1"), ">=", 0.0),
        Statement("half the epochs - SimCLR, linear probe on the 10% of labels",
                  lambda r: r.difference(HALF, SIMCLR, "linear_on_budget_top1"), ">=", 0.0),
        Statement("largest |SuNCEt + log |P| - L_in| of 100 random batches",
                  largest_gap, "<=", 1e-6, "number", algebra=True),
    ),
    minutes=8,
    axis="images",
)  # fmt: skip
