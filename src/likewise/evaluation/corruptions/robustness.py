"""Accuracy and calibration on corrupted test images, of classifiers that learned from clean ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from likewise.data.batch import UNLABELLED, Pixels
from likewise.errors import LikewiseError
from likewise.evaluation.corruptions import KINDS, SEVERITIES, RandomFields, corrupt
from likewise.evaluation.corruptions.corrupt import require_known
from likewise.evaluation.evaluate_features import Examples
from likewise.evaluation.features import EvalView, eval_mode
from likewise.evaluation.metrics.calibration import Calibration, calibration
from likewise.evaluation.metrics.linear_probe import FittedProbe
from likewise.evaluation.statistics.confidence import REPEATED, Interval, repeated_accuracy, repeated_difference
from likewise.evaluation.statistics.scores import Score
from likewise.randomness import generator
from likewise.views.view import View

VALUES = 2**22
"""pixel values corrupted at a time: 16 MB, and some twenty times that while they are"""
MOST_ROWS = 512


@dataclass(frozen=True)
class CorruptionResults:
    """What one classifier made of each test image, clean and under each of K kinds at each of S severities."""

    kinds: tuple[str, ...]
    severities: tuple[int, ...]
    clean_correct: Tensor
    """bool [N]"""
    clean_confidence: Tensor
    """float32 [N], the probability of the class that was answered"""
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
        """Mean accuracy over kinds and severities, with its 95 % interval over test images."""
        return repeated_accuracy(self.correct.flatten(0, 1))

    @cached_property
    def accuracy(self) -> Tensor:
        """Float64 [K, S]."""
        return self.correct.double().mean(dim=2)

    def calibrations(self) -> list[Calibration]:
        """Clean first, then by severity, the answers under all kinds in one set of bins: 1 + S of them."""
        clean = calibration(self.clean_confidence, self.clean_correct)
        each = [
            calibration(self.confidence[:, at].flatten(), self.correct[:, at].flatten())
            for at in range(len(self.severities))
        ]
        return [clean, *each]

    def gain(self, over: CorruptionResults) -> Interval:
        """Mean corrupted accuracy minus another classifier's, paired by image."""
        return repeated_difference(self.correct.flatten(0, 1), over.correct.flatten(0, 1))

    def score(self, name: str, protocol: Mapping[str, Any]) -> Score:
        """Mean corrupted accuracy as a score."""
        return Score(name, *self.interval, len(self.clean_correct), {**protocol, "interval": REPEATED})

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
    """Which corruptions are asked, how strong, and of how many images.

    After ImageNet-C (Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261), with corruptions of our own
    making (``views.corruptions``): the scores may be compared with each other, not with published ones. Their mCE
    divides by AlexNet's errors on ImageNet, which there are none of for other data; accuracies are given instead.
    """

    kinds: tuple[str, ...] = KINDS
    """of the fifteen"""
    severities: tuple[int, ...] = SEVERITIES
    """of 1 to 5"""
    images: int = 2000
    """labelled test images at most, drawn once: each is asked once for each kind and severity, 75 times"""
    seed: int = 0
    """of the draw and of the corruptions"""

    def __post_init__(self) -> None:
        require_known(self.kinds, self.severities)
        if self.images < 1:
            raise LikewiseError(f"Robustness(images={self.images}): give 1 or more.")

    def evaluate(
        self,
        classifiers: Mapping[str, nn.Module],
        test: Examples,
        view: EvalView,
        device: torch.device | str = "cpu",
    ) -> dict[str, CorruptionResults]:
        """The answers of each classifier; each corrupted batch is made once and shown to all of them.

        Args:
            classifiers: by name, float [B, C, S, S] in [0, 1] -> logits [B, classes].
            test: images; those without a label are left out.
            view: what a classifier is shown of a clean image; that is what is corrupted.
            device: where to compute.

        Raises:
            LikewiseError: no test image has a label.
        """
        chosen = self._chosen(test.labels)
        labels, rows = test.labels[chosen], test.index[chosen]
        fields = RandomFields.of([test.ids[int(at)] for at in chosen], self.seed, device)
        looks = 1 + len(self.kinds) * len(self.severities)
        correct = {who: torch.empty(looks, len(chosen), dtype=torch.bool) for who in classifiers}
        confidence = {who: torch.empty(looks, len(chosen)) for who in classifiers}
        for part in torch.arange(len(chosen)).split(self._rows(test, rows, view)):
            clean = _shown(view, test.images.read(rows[part]), device)
            for look, images in enumerate(self._looks(clean, RandomFields(fields.keys[part.to(device)]))):
                for who, classifier in classifiers.items():
                    sure, answer = _answer(classifier.to(device), images)
                    correct[who][look, part] = answer == labels[part]
                    confidence[who][look, part] = sure
        return {who: self._answers(correct[who], confidence[who]) for who in classifiers}

    def protocol(self) -> dict[str, Any]:
        """What a reader needs to ask for the score again."""
        return {"kinds": len(self.kinds), "severities": list(self.severities), "seed": self.seed}

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
        one = _shown(view, test.images.read(rows[:1]), "cpu")
        return max(1, min(VALUES // one.numel(), MOST_ROWS))

    def _looks(self, clean: Tensor, fields: RandomFields) -> Iterator[Tensor]:
        """The clean batch, then each kind at each severity, made when asked for."""
        yield clean
        for kind in self.kinds:
            for severity in self.severities:
                yield corrupt(clean, kind, severity, fields)

    def _answers(self, correct: Tensor, confidence: Tensor) -> CorruptionResults:
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
    """An encoder and a linear probe fitted on its features, as one classifier; eval mode is the caller's affair."""

    def __init__(self, encoder: nn.Module, probe: FittedProbe) -> None:
        super().__init__()
        self.encoder, self.probe = encoder, probe

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] -> float32 [B, classes] on the CPU; classes that the probe never saw get -inf."""
        logits = self.probe.logits(self.encoder(pixels).float().cpu())
        spread = logits.new_full((len(logits), int(self.probe.classes.max()) + 1), -torch.inf)
        spread[:, self.probe.classes] = logits
        return spread


@torch.inference_mode()
def _answer(classifier: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Confidence float [B] and class int64 [B], on the CPU."""
    with eval_mode(classifier):
        best = classifier(images).float().softmax(dim=1).max(dim=1)
    return best.values.cpu(), best.indices.cpu()


def _shown(view: EvalView, pixels: Pixels, device: torch.device | str) -> Tensor:
    shown = view(pixels.map(lambda part: part.to(device, non_blocking=True)))
    return shown.pixels if isinstance(shown, View) else shown
