"""Flow similarity: from motion alone, pixels of a single frame learn which of them are one thing."""

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
        "Embeddings of pixels made as alike as their flow tell, in a single frame, what moves as one; cross-entropy of "
        "the two similarity matrices teaches that at least as well as regression."
    ),
    check=(
        "Made clips of 32 pixels: garments half as large as the frame that move over a texture in one of eight ways, "
        "under a camera that moves too; flow by dense inverse search. Garments of the test clips are other ones. Asked "
        "of single frames: the area under the curve by which the cosine of two pixels tells a pair on one garment from "
        "a garment and its background, the mean over 500 test frames. The paper trains AlexNet on 200,000 videos and "
        "asks for segmentation."
    ),
    arms=(
        Arm(ENTROPY, METHOD, SETTINGS, MEASURES, RECIPE),
        Arm(REGRESSION, replace(METHOD, loss="regression"), SETTINGS, MEASURES, RECIPE),
        Arm(UNTRAINED, METHOD, replace(SETTINGS, steps=2), MEASURES, replace(RECIPE, learning_rate=0.0)),
    ),
    statements=(
        Statement("cross-entropy, area", lambda r: r.score(ENTROPY, "same_object_auc"), ">=", 0.8, unit="number"),
        Statement(
            "cross-entropy - untrained, area", lambda r: r.ahead(ENTROPY, UNTRAINED, "same_object_auc"), ">=", 0.15
        ),
        Statement(
            "cross-entropy - regression, area", lambda r: r.ahead(ENTROPY, REGRESSION, "same_object_auc"), ">=", -0.02
        ),
    ),
    minutes=6,
    axis="images",
    data="synthetic-flow-videos",
)
