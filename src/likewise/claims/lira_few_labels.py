"""LiRA: lips that have learned to predict sound read words from few labels."""

from __future__ import annotations

from likewise.claims.claim import Arm, Claim, Statement
from likewise.claims.lip_measures import SoundPredicted, WordsRead
from likewise.methods import Recipe
from likewise.methods.lira import LiRA
from likewise.runs.settings import TrainSettings

OWN, OTHERS = "each clip's own sound", "another clip's sound"
RECIPE = Recipe("adamw", 1e-2, weight_decay=1e-2, warm_up=0.1)
SETTINGS = TrainSettings(labels="none", epochs=12, batch_size=32, encoder="lip-small", image_size=32, num_evals=0)

CLAIM = Claim(
    paper="Ma, Mira, Petridis, Schuller & Pantic 2021, Sec. 4, https://arxiv.org/abs/2106.09171",
    sentence="An encoder that has learned to predict sound from silent lips reads words from fewer labels.",
    check=(
        "Drawn mouths that say ten made-up words, with the sound of the same movement; 25 frames of 32 pixels. The "
        "encoder predicts 40 bands of a log-mel spectrogram, then it and a linear classifier are trained on 10 "
        "labelled clips of each word; from scratch is the same, for as many steps, from first weights. The control "
        "pairs each clip with the sound of another, always the same one, so that all but the match is alike; it shows "
        "too what a guess without lips reaches, for the mean is not the best of constants in absolute error. PASE+ and "
        "LRW's 500 words of real speakers are out of reach here; name real videos by --data."
    ),
    arms=(
        Arm(OWN, LiRA(bands=40), SETTINGS, (SoundPredicted(), WordsRead(from_scratch=True)), RECIPE),
        Arm(OTHERS, LiRA(bands=40, shuffled_sound=True), SETTINGS, (SoundPredicted(), WordsRead()), RECIPE),
    ),
    statements=(
        Statement("error on test clips, as a share of always guessing the mean",
                  lambda r: r.score(OWN, "share_of_mean_error"), "<=", 0.85, unit="share"),
        Statement("LiRA, then 10 labels a word - from scratch, accuracy",
                  lambda r: r.score(OWN, "fine_tuned_top1") - r.score(OWN, "from_scratch_top1"), ">=", 0.10),
        Statement("another clip's sound, then 10 labels a word - from scratch, accuracy",
                  lambda r: r.score(OTHERS, "fine_tuned_top1") - r.score(OWN, "from_scratch_top1"), "<=", 0.05),
    ),
    minutes=8,
    axis="images",
    data="synthetic-lip-videos",
)  # fmt: skip
