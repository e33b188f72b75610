"""Global-local contrast: the global and the local loss together serve both tasks, each alone only its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from likewise.claims.claim import Arm, Claim, Statement
from likewise.claims.measures import TrainedArm
from likewise.encoders import Encoder
from likewise.evaluation.sound_scores import embed_audio_visual, measure_audio_visual, sound_ranks
from likewise.methods import Recipe
from likewise.methods.global_local import GlobalLocal
from likewise.runs.settings import TrainSettings

JOINT, GLOBAL, LOCAL = "global and local loss", "global loss only", "local loss only"
SETTINGS = TrainSettings(labels="none", steps=400, batch_size=32, image_size=32, num_evals=0)


@dataclass(frozen=True)
class AudioVisual:
    """Retrieval of test clips by their sound, synchronisation, and attention on the sound's source.

    ``over_chance`` is recall at 1 from sound to clip over chance. ``attention_over_uniform``, where the data have boxes
    of the source, is the share of attention within them over that of uniform attention.
    """

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Scores of the middle windows of the test clips."""
        encoder, size = cast(Encoder, trained.nets.encoder), trained.prepared.encoder.image_size
        embeddings = embed_audio_visual(
            encoder, trained.nets.space, trained.test, size, trained.device
        )
        scores = [
            measurement.score
            for measurement in measure_audio_visual(embeddings, sound_ranks(embeddings))
        ]
        found = {score.name: score.value for score in scores}
        chance = {score.name: score.protocol["chance"] for score in scores}
        found["over_chance"] = found["sound_to_clip_r1"] / chance["sound_to_clip_r1"]
        if "attention_in_box" in found:
            found["attention_over_uniform"] = found["attention_in_box"] / chance["attention_in_box"]
        return found


def arm(name: str, global_weight: float, local_weight: float) -> Arm:
    """One weighting of the two losses; everything else is the same."""
    method = GlobalLocal(global_weight=global_weight, local_weight=local_weight)
    return Arm(name, method, SETTINGS, (AudioVisual(),), Recipe("adamw", learning_rate=3e-3))


CLAIM = Claim(
    paper="Ma et al. 2021, https://arxiv.org/abs/2104.05418",
    sentence="Global and local contrast learned together do better than either learned alone.",
    check=(
        "Generated clips of two bouncing garments, one of which makes a sound at each landing, at a pitch given by its "
        "class; 200 test clips of garments that training never saw. Retrieving a clip by its sound tests the global "
        "loss; separating synchronous sound from sound shifted by 3 to 8 frames tests the local loss. The paper "
        "fine-tunes on action recognition, lip reading and others after Kinetics; here the two tasks are measured on "
        "new clips without fine-tuning. Use --data for videos with sound; only generated clips have boxes of the "
        "source."
    ),
    arms=(arm(JOINT, 1.0, 1.0), arm(GLOBAL, 1.0, 0.0), arm(LOCAL, 0.0, 1.0)),
    statements=(
        Statement("recall at 1, sound to clip, as a multiple of chance",
                  lambda r: r.score(JOINT, "over_chance"), ">=", 5.0, "number"),
        Statement("synchronous or shifted, area under the ROC curve",
                  lambda r: r.score(JOINT, "sync_auc"), ">=", 0.75, "number"),
        Statement("both - global only, area of synchronisation",
                  lambda r: r.difference(JOINT, GLOBAL, "sync_auc"), ">=", 0.10),
        Statement("both - local only, recall at 1",
                  lambda r: r.difference(JOINT, LOCAL, "sound_to_clip_r1"), ">=", -0.02),
        Statement("both - local only, area of synchronisation",
                  lambda r: r.difference(JOINT, LOCAL, "sync_auc"), ">=", 0.0),
        Statement("both - global only, recall at 10",
                  lambda r: r.difference(JOINT, GLOBAL, "sound_to_clip_r10"), ">=", 0.0),
        Statement("attention on the source of sound, as a multiple of uniform attention",
                  lambda r: r.results[JOINT].scores.get("attention_over_uniform", math.nan), ">=", 1.5, "number",
                  premise=Statement("the data have boxes of the source",
                                    lambda r: float("attention_over_uniform" in r.results[JOINT].scores),
                                    ">=", 1.0, "number")),
    ),
    minutes=12,
    axis="images",
    data="synthetic-sound-videos",
)  # fmt: skip
