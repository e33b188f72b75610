"""Flow similarity: trained on motion only, pixel embeddings of a single frame separate objects."""

from __future__ import annotations

from dataclasses import replace

from likewise.claims.claim import Arm, Claim, Statement
from likewise.claims.dense_measures import SameObject
from likewise.methods import Recipe
from likewise.methods.flow_similarity import FlowSimilarity
from likewise.runs.settings import TrainSettings

ENTROPY, REGRESSION, UNTRAINED = "cross-entropy", "regression", "untrained"
METHOD = FlowSimilarity(positions=128)
RECIPE = Recipe("adamw", 1e-3, warm_up=0.1)
SETTINGS = TrainSettings(labels="none", steps=200, batch_size=64, num_evals=0)
MEASURES = (SameObject(),)

CLAIM = Claim(
    paper="Mahendran et al. 2018, Sec. 3 and 4, https://arxiv.org/abs/1807.05636",
    sentence=(
        "Pixel embeddings trained to be as similar as the pixels' flow group, in a single frame, what moves together; "
        "cross-entropy of the two similarity matrices works at least as well as regression."
    ),
    check=(
        "Generated clips of 32 pixels: garments half as large as the frame move over a texture in one of eight ways, "
        "under a moving camera; flow by dense inverse search. Test clips show other garments. The score is the area "
        "under the ROC curve of the cosine of two pixels, for pairs on one garment against pairs of garment and "
        "background, a mean over 500 single test frames. The paper trains AlexNet on 200,000 videos and measures "
        "segmentation."
    ),
    arms=(
        Arm(ENTROPY, METHOD, SETTINGS, MEASURES, RECIPE),
        Arm(REGRESSION, replace(METHOD, loss="regression"), SETTINGS, MEASURES, RECIPE),
        Arm(
            UNTRAINED,
            METHOD,
            replace(SETTINGS, steps=2),
            MEASURES,
            replace(RECIPE, learning_rate=0.0),
        ),
    ),
    statements=(
        Statement(
            "cross-entropy, area",
            lambda r: r.score(ENTROPY, "same_object_auc"),
            ">=",
            0.8,
            unit="number",
        ),
        Statement(
            "cross-entropy - untrained, area",
            lambda r: r.difference(ENTROPY, UNTRAINED, "same_object_auc"),
            ">=",
            0.15,
        ),
        Statement(
            "cross-entropy - regression, area",
            lambda r: r.difference(ENTROPY, REGRESSION, "same_object_auc"),
            ">=",
            -0.02,
        ),
    ),
    minutes=6,
    axis="images",
    data="synthetic-flow-videos",
)
