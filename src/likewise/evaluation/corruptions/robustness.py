"""Accuracy and calibration on corrupted test images, of classifiers that learned from clean ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.corruptions import KINDS, SEVERITIES, RandomFields, corrupt
from likewise.evaluation.corruptions.corrupt import require_known
from likewise.evaluation.evaluate_features import Examples
from likewise.evaluation.features import EvalView, eval_mode, pixels_of_view
from likewise.evaluation.metrics.calibration import Calibration, calibration
from likewise.evaluation.metrics.linear_probe import FittedProbe
from likewise.evaluation.statistics.confidence import (
    REPEATED,
    Interval,
    repeated_accuracy,
    repeated_difference,
)
from likewise.evaluation.statistics.scores import Score
from likewise.randomness import generator

Name = TypeVar("Name", bound=Hashable)

VALUES = 2**22
"""pixel values corrupted at a time: 16 MB, and some twenty times that in temporaries"""
MAX_ROWS = 512
"""images corrupted at a time at most"""


@dataclass(frozen=True)
class CorruptionResults:
    """One classifier's results on N test images, clean and under each of K kinds at each of S severities."""

    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    clean_correct: Tensor
    """bool [N]"""
    clean_confidence: Tensor
    """float32 [N], the probability of the predicted class"""
    correct: Tensor
    """bool [K, S, N]"""
    confidence: Tensor
    """float32 [K, S, N]"""

    @property
    def clean(self) -> float:
        """Accuracy on the clean images."""
        return float(self.clean_correct.double().mean())

    @cached_property
    def interval(self) -> Interval:
        """Mean accuracy over kinds and severities, with its 95% interval over test images."""
        return repeated_accuracy(self.correct.flatten(0, 1))

    @cached_property
    def accuracy(self) -> Tensor:
        """Float64 [K, S]."""
        return self.correct.double().mean(dim=2)

    def calibrations(self) -> list[Calibration]:
        """Calibrations of the clean images, then of each severity with all kinds together: 1 + S of them."""
        found = [calibration(self.clean_confidence, self.clean_correct)]
        for severity in range(len(self.severities)):
            # [K, N] each
            confidence, correct = self.confidence[:, severity], self.correct[:, severity]
            found.append(calibration(confidence.flatten(), correct.flatten()))
        return found

    def difference(self, over: CorruptionResults) -> Interval:
        """Mean corrupted accuracy minus another classifier's, paired by image."""
        return repeated_difference(self.correct.flatten(0, 1), over.correct.flatten(0, 1))

    def score(self, name: str, protocol: Mapping[str, Any]) -> Score:
        """Mean corrupted accuracy as a score."""
        return Score(
            name, *self.interval, len(self.clean_correct), {**protocol, "interval": REPEATED}
        )

    def to_json(self) -> dict[str, Any]:
        """Accuracies and calibration errors as plain JSON types."""
        return {
            "clean": self.clean,
            "corrupted": self.interval._asdict(),
            "accuracy": self.accuracy.tolist(),
            "calibration_error": [each.error for each in self.calibrations()],
        }


@dataclass(frozen=True)
class Robustness:
    """Which corruptions are measured, at which severities, and on how many images.

    After ImageNet-C (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261), with our own
    implementation of the corruptions: the scores may be compared with each other, not with published ones. Their mCE
    divides by AlexNet's errors on ImageNet, which do not exist for other data; accuracies are given instead.
    """

    kinds: tuple[str, ...] = KINDS
    """kinds of corruption; default: all fifteen"""
    severities: tuple[int, ...] = SEVERITIES
    """1 to 5"""
    images: int = 2000
    """labelled test images at most, drawn once; each is corrupted once by each kind and severity, 75 times"""
    seed: int = 0
    """of the sample and of the corruptions"""

    def __post_init__(self) -> None:
        require_known(self.kinds, self.severities)
        if self.images < 1:
            raise LikewiseError(f"Robustness(images={self.images}): give 1 or more.")

    def evaluate(
        self,
        classifiers: Mapping[Name, nn.Module],
        test: Examples,
        view: EvalView,
        device: torch.device | str = "cpu",
    ) -> dict[Name, CorruptionResults]:
        """The results of each classifier; each corrupted batch is made once for all of them.

        Args:
            classifiers: by name, float [B, C, S, S] in [0, 1] -> logits [B, classes].
            test: images; those without a label are left out.
            view: the classifiers' input from a clean image, which is then corrupted.
            device: where to compute.

        Raises:
            LikewiseError: no test image has a label.
        """
        chosen = self._chosen(test.labels)
        labels = test.labels[chosen]
        rows = test.index[chosen]
        ids = [str(test.ids[row]) for row in chosen.tolist()]
        fields = RandomFields.of(ids, self.seed, device)
        shape = (1 + len(self.kinds) * len(self.severities), len(chosen))  # the first is clean
        correct = {who: torch.empty(shape, dtype=torch.bool) for who in classifiers}
        confidence = {who: torch.empty(shape) for who in classifiers}
        for part in torch.arange(len(chosen)).split(self._rows(test, rows, view)):
            clean = pixels_of_view(view, test.images.read(rows[part]), device)
            fields_of_part = RandomFields(fields.keys[part.to(device)])
            for condition, images in enumerate(self._conditions(clean, fields_of_part)):
                for who, classifier in classifiers.items():
                    probability, predicted = _predict(classifier.to(device), images)
                    correct[who][condition, part] = predicted == labels[part]
                    confidence[who][condition, part] = probability
        return {who: self._results(correct[who], confidence[who]) for who in classifiers}

    def protocol(self) -> dict[str, Any]:
        """The settings that reproduce the score."""
        return {
            "kinds": len(self.kinds),
            "severities": list(self.severities),
            "seed": self.seed,
        }

    def _chosen(self, labels: Tensor) -> Tensor:
        known = (labels != UNLABELLED).nonzero().flatten()
        if not len(known):
            raise LikewiseError(
                "Accuracy on corrupted images needs labelled test images, and there are none. Give labels with "
                "--labels labels.csv, or evaluate without --corruptions."
            )
        order = torch.randperm(len(known), generator=generator(self.seed, "corrupted images"))
        return known[order[: self.images]].sort().values

    def _rows(self, test: Examples, rows: Tensor, view: EvalView) -> int:
        one = pixels_of_view(view, test.images.read(rows[:1]), "cpu")
        return max(1, min(VALUES // one.numel(), MAX_ROWS))

    def _conditions(self, clean: Tensor, fields: RandomFields) -> Iterator[Tensor]:
        """The clean batch, then each kind at each severity, made lazily."""
        yield clean
        for kind in self.kinds:
            for severity in self.severities:
                yield corrupt(clean, kind, severity, fields)

    def _results(self, correct: Tensor, confidence: Tensor) -> CorruptionResults:
        shape = len(self.kinds), len(self.severities), -1
        return CorruptionResults(
            self.kinds,
            self.severities,
            correct[0],
            confidence[0],
            correct[1:].view(shape),
            confidence[1:].view(shape),
        )


class EncoderWithProbe(nn.Module):
    """An encoder and a linear probe fitted on its features, as one classifier; the caller sets eval mode."""

    def __init__(self, encoder: nn.Module, probe: FittedProbe) -> None:
        super().__init__()
        self.encoder = encoder
        self.probe = probe

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] -> float32 [B, classes] on the CPU; classes that the probe never saw get -inf."""
        logits = self.probe.logits(self.encoder(pixels).float().cpu())
        classes = self.probe.classes  # int64 [C], the label of each column
        spread = logits.new_full((len(logits), int(classes.max()) + 1), -torch.inf)
        spread[:, classes] = logits
        return spread


@torch.inference_mode()
def _predict(classifier: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Confidence float [B] and class int64 [B], on the CPU."""
    with eval_mode(classifier):
        best = classifier(images).float().softmax(dim=1).max(dim=1)
    return best.values.cpu(), best.indices.cpu()
