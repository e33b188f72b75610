"""Scores of runs that learned from more than pixels: against texts and against sounds."""

from __future__ import annotations

from typing import NamedTuple

from likewise.data.splits import Split
from likewise.evaluation.metrics.retrieval import Retrieved
from likewise.evaluation.run_scores import Scored
from likewise.evaluation.sound_scores import sound_scores
from likewise.evaluation.statistics.scores import Measurement
from likewise.evaluation.text_scores import text_scores
from likewise.run_folder import RunFolder


class MultimodalScores(NamedTuple):
    """Scores against texts or sounds."""

    measurements: dict[str, list[Measurement]]
    """by encoder, without predictions of classes; empty for a run that learned from pixels alone"""
    retrieved: Retrieved | None
    """the test images that texts or sounds retrieve"""


def multimodal_scores(run: RunFolder, scored: Scored, test: Split | None, seed: int) -> MultimodalScores:
    """Scores of the encoders against texts and sounds.

    Args:
        run: its folder holds the space shared with texts or with sounds.
        scored: the encoders.
        test: the test images.
        seed: of the untrained networks of the baselines.
    """
    by_text, texts = text_scores(run, scored, test, seed)
    by_sound, sounds = sound_scores(run, scored, test, seed)
    return MultimodalScores(by_text | by_sound, sounds or texts)
