"""What claims ask of guessed labels: those from which training learned, judged by the true ones after it ended."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from likewise.claims.measures import TrainedArm
from likewise.evaluation.metrics.pseudo_label_quality import next_steps, pseudo_label_quality

BATCHES = 20
"""That are looked at, the ones that would have come next."""


@dataclass(frozen=True)
class Guesses:
    """CoMatch's guesses on training images: ``guesses_balanced``, ``guesses_smoothed`` and ``edge_precision``.

    The first two are shares of images whose guess names the true class, before and after smoothing by similar images.
    """

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """Shares, 0 to 1."""
        prepared = trained.prepared
        loader = prepared.loader()
        first, labels = prepared.steps(loader), prepared.train.labels
        found = pseudo_label_quality(prepared.method, trained.nets, loader, labels, first, BATCHES, trained.device)
        return {
            "guesses_balanced": found.balanced,
            "guesses_smoothed": found.smoothed,
            "edge_precision": found.edge_precision,
        }


@dataclass(frozen=True)
class Entropy:
    """The entropy of PAWS' mean sharpened guess in a batch, in nats, ln(classes) at most: ``entropy``."""

    def __call__(self, trained: TrainedArm) -> Mapping[str, float]:
        """The mean over batches, which is at most the entropy of the mean over all of them."""
        prepared = trained.prepared
        loader = prepared.loader()
        ahead = next_steps(prepared.method, trained.nets, loader, prepared.steps(loader), BATCHES, trained.device)
        return {"entropy": statistics.mean(float(step.metrics["entropy"]) for _, step in ahead)}
