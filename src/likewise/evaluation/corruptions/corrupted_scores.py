"""The scores of several encoders on corrupted images, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from likewise.evaluation.corruptions.robustness import CorruptionResults, EncoderWithProbe, Robustness
from likewise.evaluation.evaluate_features import Examples
from likewise.evaluation.features import EvalView
from likewise.evaluation.metrics.linear_probe import FittedProbe
from likewise.evaluation.statistics.scores import Score, ScoreDifference

LINEAR, CLASSIFIER = "linear", "classifier"


@dataclass(frozen=True)
class CorruptedScores:
    """What probes that were fitted on clean images, and methods' own classifiers, make of corrupted ones."""

    asked: Robustness
    images: int
    """test images asked"""
    answers: dict[str, dict[str, CorruptionResults]]
    """by classifier (linear, classifier), then by encoder, the one in question first"""

    def scores(self) -> dict[str, list[Score]]:
        """By encoder: ``corrupted_linear_top1``, the mean accuracy over kinds and severities, and the like."""
        found: dict[str, list[Score]] = {}
        for reader, by_encoder in self.answers.items():
            for who, answers in by_encoder.items():
                score = answers.score(f"corrupted_{reader}_top1", self.asked.protocol())
                found.setdefault(who, []).append(score)
        return found

    def gains(self) -> list[ScoreDifference]:
        """The first encoder's probe against each other one's, on the same corrupted images."""
        first, *others = self.answers[LINEAR]
        mine = self.answers[LINEAR][first]
        return [
            ScoreDifference(f"corrupted_{LINEAR}_top1", who, *mine.gain(self.answers[LINEAR][who])) for who in others
        ]

    def to_json(self) -> dict[str, Any]:
        """What ``scores.json`` holds under ``corruptions``."""
        return {
            "kinds": list(self.asked.kinds),
            "severities": list(self.asked.severities),
            "images": self.images,
            **{
                reader: {who: answers.to_json() for who, answers in by_encoder.items()}
                for reader, by_encoder in self.answers.items()
            },
        }


def corrupted_scores(
    encoders: Mapping[str, nn.Module],
    probes: Mapping[str, FittedProbe],
    test: Examples,
    view: EvalView,
    device: torch.device | str = "cpu",
    classifiers: Mapping[str, nn.Module] | None = None,
    asked: Robustness | None = None,
) -> CorruptedScores:
    """Ask encoders' probes, and classifiers, for the classes of corrupted images; all of them see the same ones.

    Args:
        encoders: by name, the one in question first.
        probes: by the same names, fitted on clean features (`LinearProbe.fit`).
        test: images to be measured on.
        view: what an encoder is shown of a clean image.
        device: where to compute.
        classifiers: methods' own classifiers by the name of their encoder, pixels -> logits.
        asked: which corruptions; None: all.

    Raises:
        LikewiseError: no test image has a label.
    """
    asked = asked or Robustness()
    readers: dict[tuple[str, str], nn.Module] = {
        (LINEAR, who): EncoderWithProbe(encoder, probes[who]) for who, encoder in encoders.items()
    }
    readers |= {(CLASSIFIER, who): classifier for who, classifier in (classifiers or {}).items()}
    found = asked.evaluate({"/".join(key): reader for key, reader in readers.items()}, test, view, device)
    answers: dict[str, dict[str, CorruptionResults]] = {}
    for reader, who in readers:
        answers.setdefault(reader, {})[who] = found[f"{reader}/{who}"]
    images = len(next(iter(found.values())).clean_correct)
    return CorruptedScores(asked, images, answers)
