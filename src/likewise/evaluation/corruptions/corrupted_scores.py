"""The scores of several encoders on corrupted images, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from likewise.evaluation.corruptions.robustness import (
    CorruptionResults,
    EncoderWithProbe,
    Robustness,
)
from likewise.evaluation.evaluate_features import Examples
from likewise.evaluation.features import EvalView
from likewise.evaluation.metrics.linear_probe import FittedProbe
from likewise.evaluation.statistics.scores import Score, ScoreDifference

LINEAR = "linear"
CLASSIFIER = "classifier"


@dataclass(frozen=True)
class CorruptedScores:
    """Accuracy on corrupted images of probes fitted on clean ones, and of methods' own classifiers."""

    robustness: Robustness
    images: int
    """number of test images"""
    results: dict[str, dict[str, CorruptionResults]]
    """by classifier (linear, classifier), then by encoder, the one in question first"""

    def scores(self) -> dict[str, list[Score]]:
        """By encoder: ``corrupted_linear_top1``, the mean accuracy over kinds and severities, and the like."""
        found: dict[str, list[Score]] = {}
        for classifier, by_encoder in self.results.items():
            for who, result in by_encoder.items():
                score = result.score(f"corrupted_{classifier}_top1", self.robustness.protocol())
                found.setdefault(who, []).append(score)
        return found

    def differences(self) -> list[ScoreDifference]:
        """The first encoder's probe against each other one's, on the same corrupted images."""
        by_encoder = self.results[LINEAR]
        first, *others = by_encoder
        differences = []
        for who in others:
            interval = by_encoder[first].difference(by_encoder[who])
            differences.append(ScoreDifference(f"corrupted_{LINEAR}_top1", who, *interval))
        return differences

    def to_json(self) -> dict[str, Any]:
        """The content of ``scores.json`` under ``corruptions``."""
        content: dict[str, Any] = {
            "kinds": list(self.robustness.kinds),
            "severities": list(self.robustness.severities),
            "images": self.images,
        }
        for classifier, by_encoder in self.results.items():
            content[classifier] = {who: result.to_json() for who, result in by_encoder.items()}
        return content


def corrupted_scores(
    encoders: Mapping[str, nn.Module],
    probes: Mapping[str, FittedProbe],
    test: Examples,
    view: EvalView,
    device: torch.device | str = "cpu",
    classifiers: Mapping[str, nn.Module] | None = None,
    robustness: Robustness | None = None,
) -> CorruptedScores:
    """Measure encoders' probes, and classifiers, on the same corrupted images.

    Args:
        encoders: by name, the one in question first.
        probes: by the same names, fitted on clean features (`LinearProbe.fit`).
        test: images to be measured on.
        view: the encoders' input from a clean image.
        device: where to compute.
        classifiers: methods' own classifiers by the name of their encoder, pixels -> logits.
        robustness: which corruptions; None: all.

    Raises:
        LikewiseError: no test image has a label.
    """
    robustness = robustness or Robustness()
    networks: dict[tuple[str, str], nn.Module] = {}
    for who, encoder in encoders.items():
        networks[LINEAR, who] = EncoderWithProbe(encoder, probes[who])
    for who, classifier in (classifiers or {}).items():
        networks[CLASSIFIER, who] = classifier
    by_network = robustness.evaluate(networks, test, view, device)
    results: dict[str, dict[str, CorruptionResults]] = {}
    for (kind, who), found in by_network.items():
        results.setdefault(kind, {})[who] = found
    first = next(iter(by_network.values()))
    return CorruptedScores(robustness, len(first.clean_correct), results)
