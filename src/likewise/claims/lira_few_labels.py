"""LiRA: an encoder of lips that learned to predict sound reads words after a few labels."""

from __future__ import annotations

from likewise.claims.claim import Arm, Claim, Statement
from likewise.claims.lip_measures import SoundPrediction, WordAccuracy
from likewise.methods import Recipe
from likewise.methods.lira import LiRA
from likewise.runs.settings import TrainSettings

OWN, OTHERS = "own sound", "another clip's sound"
RECIPE = Recipe("adamw", 1e-2, weight_decay=1e-2, warm_up=0.1)
SETTINGS = TrainSettings(
    labels="none", epochs=12, batch_size=32, encoder="lip-small", image_size=32, num_evals=0
)

CLAIM = Claim(
    paper="Ma, Mira, Petridis, Schuller & Pantic 2021, Sec. 4, https://arxiv.org/abs/2106.09171",
    sentence="An encoder pre-trained to predict sound from silent lips needs fewer labels to read words.",
    check=(
        "Generated mouths that say ten made-up words, with sound from the same movement; 25 frames of 32 pixels. The "
        "encoder predicts 40 bands of a log-mel spectrogram; then it is fine-tuned with a linear classifier on 10 "
        "labelled clips of each word. From scratch is the same number of steps from random weights. The control pairs "
        "each clip with the sound of another clip, always the same one, so that only the match differs. It also gives "
        "the error of a prediction without lips, since the mean is not the best constant in absolute error. PASE+ and "
        "LRW's 500 words of real speakers are not used here; use --data for real videos."
    ),
    arms=(
        Arm(OWN, LiRA(bands=40), SETTINGS, (SoundPrediction(), WordAccuracy(from_scratch=True)), RECIPE),
        Arm(OTHERS, LiRA(bands=40, shuffled_sound=True), SETTINGS, (SoundPrediction(), WordAccuracy()), RECIPE),
    ),
    statements=(
        Statement("error on test clips, as a share of the error of the mean",
                  lambda r: r.score(OWN, "share_of_mean_error"), "<=", 0.85, unit="share"),
        Statement("accuracy with 10 labels a word, LiRA - from scratch",
                  lambda r: r.score(OWN, "fine_tuned_top1") - r.score(OWN, "from_scratch_top1"), ">=", 0.10),
        Statement("accuracy with 10 labels a word, another clip's sound - from scratch",
                  lambda r: r.score(OTHERS, "fine_tuned_top1") - r.score(OWN, "from_scratch_top1"), "<=", 0.05),
    ),
    minutes=8,
    axis="images",
    data="synthetic-lip-videos",
)  # fmt: skip
