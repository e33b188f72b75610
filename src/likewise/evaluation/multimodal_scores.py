"""Scores against what the images have besides one class: texts, sounds, several classes, numbers."""

from __future__ import annotations

from typing import NamedTuple

from likewise.data.splits import Split
from likewise.evaluation.metrics.retrieval import Retrieved
from likewise.evaluation.run_scores import Scored
from likewise.evaluation.sound_scores import sound_scores
from likewise.evaluation.statistics.scores import Measurement, ScoreDifference, concat_by_encoder
from likewise.evaluation.target_scores import target_scores
from likewise.evaluation.text_scores import text_scores
from likewise.run_folder import RunFolder


class MultimodalScores(NamedTuple):
    """Scores against texts, sounds or targets."""

    measurements: dict[str, list[Measurement]]
    """by encoder, without predictions of classes; empty where the data have nothing besides one class an image"""
    differences: list[ScoreDifference]
    """of scores against targets"""
    retrieved: Retrieved | None
    """the test images that texts or sounds retrieve"""


def multimodal_scores(run: RunFolder, scored: Scored, train: Split, seed: int) -> MultimodalScores:
    """Scores of the encoders against texts, sounds and targets.

    Args:
        run: its folder holds the space shared with texts or with sounds.
        scored: the encoders, and the test images that could be read.
        train: the training images, on which probes of targets are fitted.
        seed: of the untrained networks of the baselines, and of the bootstrap.
    """
    test = scored.test
    by_text, texts = text_scores(run, scored, test, seed)
    by_sound, sounds = sound_scores(run, scored, test, seed)
    by_target = target_scores(scored, train, seed)
    measurements = concat_by_encoder([by_text, by_sound, by_target.measurements])
    return MultimodalScores(measurements, by_target.differences, sounds or texts)
