"""ISD: on class-imbalanced data the rare classes gain most."""

from __future__ import annotations

from likewise.claims.claim import Arm, Claim, Replicate, Statement
from likewise.claims.measures import Neighbours
from likewise.claims.protocol import VIEWS
from likewise.methods.isd import ISD
from likewise.methods.moco import MoCoV2
from likewise.runs.settings import TrainSettings

SETTINGS = TrainSettings(
    labels="none",
    imbalance="step",
    imbalance_ratio=13.0,
    imbalance_rare=0.8,
    steps=800,
    batch_size=256,
    num_evals=8,
)
MEASURES = (Neighbours(1, {"large": (0, 1), "rare": tuple(range(2, 10))}),)


def gain(replicate: Replicate, group: str) -> float:
    """ISD's nearest-neighbour accuracy minus MoCo v2's on the test images of a group of classes."""
    return replicate.difference("ISD", "MoCo v2", f"knn1_{group}")


CLAIM = Claim(
    paper="Tejankar et al. 2021, https://arxiv.org/abs/2012.09259",
    sentence="On class-imbalanced data ISD beats MoCo v2 on the rare classes, by more than on the large ones.",
    check=(
        "Two large classes (T-shirt/top and Trouser, 5,400 images each) and eight rare ones (415 each), the paper's "
        "ratio of 13 : 1; 14.5 epochs; then 1-NN accuracy with a balanced bank, by class. Each method uses its own "
        "recipe, a queue of 2,048, and one teacher pass an image, which is not counted. The paper has 38 classes of "
        "ImageNet and draws the large ones ten times; here all seeds share the large classes and draw the images."
    ),
    arms=(
        Arm("ISD", ISD(queue=2048, student_views=VIEWS), SETTINGS, MEASURES),
        Arm("MoCo v2", MoCoV2(queue=2048, views=VIEWS), SETTINGS, MEASURES),
    ),
    statements=(
        Statement("ISD - MoCo v2 on the rare classes", lambda r: gain(r, "rare"), ">", 0.0),
        Statement(
            "the same difference, rare classes - large classes",
            lambda r: gain(r, "rare") - gain(r, "large"),
            ">=",
            0.0,
        ),
    ),
    minutes=8,
    axis="images",
    data="fashion-mnist",
)
