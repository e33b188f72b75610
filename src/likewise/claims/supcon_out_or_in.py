"""SupCon: the mean over positives belongs outside the logarithm."""

from __future__ import annotations

import torch

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import Linear
from likewise.claims.protocol import RECIPE, VIEWS
from likewise.losses import sup_con
from likewise.methods.supcon import SupCon
from likewise.randomness import generator
from likewise.runs.settings import TrainSettings


def arm(kind: str, noise: float) -> Arm:
    """SupCon with one of the two losses, on labels of which a share is wrong."""
    name = f"L_{kind}" + (f", {100 * noise:.0f}% wrong labels" if noise else "")
    settings = TrainSettings(steps=300, batch_size=256, num_evals=6, label_noise=noise)
    return Arm(name, SupCon(kind=kind, views=VIEWS), settings, (Linear(on_budget=True),), RECIPE)  # type: ignore[arg-type]


def smallest_gap(replicate: Replicate) -> float:
    """The smallest L_out - L_in over 100 random batches of two views, at least 0 by Jensen's inequality."""
    random = generator(replicate.seed, "L_out and L_in")
    gaps = []
    for _ in range(100):
        z = torch.randn(16, 2, 8, dtype=torch.float64, generator=random)
        labels = torch.randint(0, 4, (16,), generator=random)
        gaps.append(float(sup_con(z, labels, 0.1, "out") - sup_con(z, labels, 0.1, "in")))
    return min(gaps)


CLAIM = Claim(
    paper="Khosla et al. 2020, Table 1, https://arxiv.org/abs/2004.11362",
    sentence="L_out, with the mean over positives outside the logarithm, learns better than L_in.",
    check=(
        "Accuracy of a linear probe fitted on the labels that training saw, on clean test images; once with true "
        "labels as in the paper, once with a fifth of them wrong. 8.5 epochs of 9,000 images instead of hundreds of "
        "ImageNet; one recipe for both losses."
    ),
    arms=(arm("out", 0.0), arm("in", 0.0), arm("out", 0.2), arm("in", 0.2)),
    statements=(
        Statement(
            "L_out - L_in, true labels",
            lambda r: r.difference("L_out", "L_in", "linear_on_budget_top1"),
            ">=", 0.0,
        ),
        Statement(
            "L_out - L_in, 20% wrong labels",
            lambda r: r.difference("L_out, 20% wrong labels", "L_in, 20% wrong labels", "linear_on_budget_top1"),
            ">=", 0.0,
        ),
        Statement("smallest L_out - L_in of 100 random batches", smallest_gap, ">=", 0.0, unit="number", algebra=True),
    ),
    minutes=8,
    axis="images",
)  # fmt: skip
