"""Fine-tuning of the last stages, whose frozen first stages see each view of an image once, for every fold and step."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from likewise.adaptation import Adapted
from likewise.adaptation.cached_fine_tuning import cache_views, fine_tune_last
from likewise.adaptation.frozen_stages import SplitEncoder
from likewise.adaptation.learning_parameters import blocks_of
from likewise.adaptation.prototypes import prototype_classifier
from likewise.advice.arm import ArmCard
from likewise.advice.candidates import StartingPoint
from likewise.advice.trained_arms import BATCH, AdaptedArm, Bench
from likewise.encoders import Encoder
from likewise.errors import LikewiseError

VIEWS, FEWEST_VIEWS, MOST_CACHED = 8, 2, 4000
"""of each labelled image that are cached, and fewest; views of all images at most, 40 kB each for lite0 at 128 px"""

TIMED_STEPS = 3
"""by which the time of a step is measured, after one to warm up"""


def cached_view_count(labelled: int) -> int:
    """Views of each of so many labelled images."""
    return max(FEWEST_VIEWS, min(VIEWS, MOST_CACHED // labelled))


class CachedViews:
    """Views of the labelled images before the last stages of an encoder: made once, for every fold and step.

    Args:
        start: the encoder.
        split: its two parts.
        rows: int64 [L], the labelled images.
        views: of each image.
        bench: seed and device.
    """

    def __init__(self, start: StartingPoint, split: SplitEncoder, rows: Tensor, views: int, bench: Bench) -> None:
        self.start, self.split, self.bench = start, split, bench
        self.maps = cache_views(split, start.images, rows, views, bench.seed, bench.device)
        self._position = torch.full((len(start.images),), -1)
        self._position[rows] = torch.arange(len(rows))

    def learn(self, rows: Tensor, labels: Tensor, features: Tensor, steps: int, limit: float = math.inf) -> Adapted:
        """Fine-tune on some of the labelled images.

        Args:
            rows: int64 [M], positions among all images.
            labels: int64 [M].
            features: float [M, D], of the encoder as it is, for the first classifier.
            steps: optimiser steps.
            limit: seconds.
        """
        bench = self.bench
        head = prototype_classifier(features, labels, bench.classes)
        maps = self.maps[:, self._position[rows]]
        return fine_tune_last(
            self.start.encoder, self.split, maps, labels, head,
            steps=steps, batch_size=BATCH, seed=bench.seed, device=bench.device, time_limit=limit,
        )  # fmt: skip

    def step_seconds(self, rows: Tensor, labels: Tensor, features: Tensor) -> float:
        """Of an optimiser step, measured."""
        self.learn(rows, labels, features, 1)
        return self.learn(rows, labels, features, TIMED_STEPS).seconds / TIMED_STEPS


class LastStagesArm(AdaptedArm):
    """Fine-tuning of the last stages on cached views.

    Args:
        card: what it is.
        cached: the views.
        vectors: float [N, D], frozen features of all images.
        bench: steps.
        step_seconds: of a step, as measured.
    """

    def __init__(self, card: ArmCard, cached: CachedViews, vectors: Tensor, bench: Bench, step_seconds: float) -> None:
        super().__init__(card, cached.start, "full", bench)
        self.cached, self.vectors = cached, vectors
        self.expected = bench.steps * step_seconds

    def _adapted(self, rows: Tensor, labels: Tensor, limit: float) -> Adapted:
        return self.cached.learn(rows, labels, self.vectors[rows], self.bench.steps, limit)


def last_half(encoder: Encoder) -> int:
    """How many stages, or blocks, are half of an encoder's, rounded up; 0 where it has none."""
    try:
        blocks = [block for block in blocks_of(encoder) if next(block.parameters(), None) is not None]
    except LikewiseError:
        return 0
    return math.ceil(len(blocks) / 2)
