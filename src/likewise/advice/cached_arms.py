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
from likewise.data.batch import UNLABELLED
from likewise.encoders import Encoder
from likewise.errors import LikewiseError
from likewise.evaluation.features import extract
from likewise.views.centre_view import CentreView

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
        labels: int64 [N], -1 where hidden.
        views: of each labelled image.
        bench: seed and device.
    """

    def __init__(
        self, start: StartingPoint, split: SplitEncoder, labels: Tensor, views: int, bench: Bench
    ) -> None:
        self.start, self.split, self.bench, self.labels = start, split, bench, labels
        self.rows = rows = (labels != UNLABELLED).nonzero().flatten()
        self.maps = cache_views(split, start.images, rows, views, bench.seed, bench.device)
        view = CentreView(start.settings.image_size)
        # [L, D]
        self.features = extract(start.encoder, start.images, rows, view, device=bench.device)
        self._position = torch.full((len(start.images),), -1)
        self._position[rows] = torch.arange(len(rows))

    def learn(self, rows: Tensor, labels: Tensor, steps: int, limit: float = math.inf) -> Adapted:
        """Fine-tune on some of the labelled images, from a classifier by their class prototypes.

        Args:
            rows: int64 [M], positions among all images.
            labels: int64 [M].
            steps: optimiser steps.
            limit: seconds.
        """
        bench, own = self.bench, self._position[rows]
        head = prototype_classifier(self.features[own], labels, bench.classes)
        return fine_tune_last(
            self.start.encoder, self.split, self.maps[:, own], labels, head,
            steps=steps, batch_size=BATCH, seed=bench.seed, device=bench.device, time_limit=limit,
        )  # fmt: skip

    def step_seconds(self) -> float:
        """Of an optimiser step, measured."""
        self.learn(self.rows, self.labels[self.rows], 1)
        return self.learn(self.rows, self.labels[self.rows], TIMED_STEPS).seconds / TIMED_STEPS


class LastStagesArm(AdaptedArm):
    """Fine-tuning of the last stages on cached views.

    Args:
        card: what it is.
        cached: the views.
        bench: steps.
        step_seconds: of a step, as measured.
    """

    def __init__(
        self, card: ArmCard, cached: CachedViews, bench: Bench, step_seconds: float
    ) -> None:
        super().__init__(card, cached.start, "full", bench)
        self.cached = cached
        self.expected = bench.steps * step_seconds

    def _adapted(self, rows: Tensor, labels: Tensor, limit: float) -> Adapted:
        return self.cached.learn(rows, labels, self.bench.steps, limit)


def last_half(encoder: Encoder) -> int:
    """How many stages, or blocks, are half of an encoder's, rounded up; 0 where it has none."""
    try:
        blocks = [
            block for block in blocks_of(encoder) if next(block.parameters(), None) is not None
        ]
    except LikewiseError:
        return 0
    return math.ceil(len(blocks) / 2)
