"""From a batch of pixels to rows of a table: what a classifier, or a predictor of several classes or numbers, says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa
import torch
from torch import Tensor, nn

from likewise.classification.classifier import Classifier
from likewise.classification.files import classifier_settings, load_classifier, load_reference
from likewise.classification.prediction_file import COLUMNS, Prediction, Row, target_columns
from likewise.classification.reference import Reference
from likewise.classification.selective import Threshold, choose_threshold
from likewise.classification.target_predictor import TargetPredictor, load_predictor
from likewise.data.batch import Pixels
from likewise.data.columns.targets import SEPARATOR
from likewise.evaluation.features import pixels_of_view
from likewise.training.launch import choose_device
from likewise.training.memory_layout import channels_last
from likewise.views.centre_view import CentreView

Network = TypeVar("Network", bound=nn.Module)


class Judge(Protocol):
    """Pixels in, rows out."""

    columns: pa.Schema
    """of the rows"""
    threshold: Threshold | None
    """from which probability on a class is sure; None where predictions are not one class an image"""
    class_names: Sequence[str]
    """what is told apart; none where predictions are numbers"""

    @property
    def encoder(self) -> nn.Module:
        """What makes features of pixels."""
        ...

    def __call__(self, pixels: Pixels, ids: Sequence[str]) -> Sequence[Row]:
        """A row for each of B images."""
        ...

    def of_features(self, features: Tensor, ids: Sequence[str]) -> Sequence[Row]:
        """A row for each of B images, from the encoder's features [B, D]."""
        ...

    def unread(self, name: str, reason: str) -> Row:
        """The row of a file that could not be read."""
        ...


def judge_of(
    folder: str | Path, image_size: int, precise: float, module: nn.Module | None = None
) -> Judge:
    """What predicts in a folder, on the fastest device.

    Args:
        folder: of a run or an advice.
        image_size: side in pixels at which its encoder reads images.
        precise: the wanted share of correct predictions, of those that are not unsure.
        module: of the shape of the encoder, for a user's module that cannot be rebuilt from its name.
    """
    reference, view = load_reference(folder), CentreView(image_size)
    if "task" in classifier_settings(folder):
        return TargetJudge(_placed(load_predictor(folder, module)), reference, view)
    threshold = choose_threshold(reference.confidence, reference.correct, precise)
    return ClassJudge(_placed(load_classifier(folder, module)), reference, view, threshold)


def _placed(network: Network) -> Network:
    channels_last(network)
    return network.to(choose_device("auto"))


class ClassJudge:
    """One class an image.

    Args:
        classifier: on its device.
        reference: what distances are taken to.
        view: the encoder's input from stored pixels.
        threshold: below which a prediction is unsure.
    """

    columns = COLUMNS

    def __init__(
        self, classifier: Classifier, reference: Reference, view: CentreView, threshold: Threshold
    ) -> None:
        self.classifier, self.reference, self.view = classifier, reference, view
        self.threshold: Threshold | None = threshold
        self.class_names: Sequence[str] = classifier.class_names
        self._least = threshold.value

    @torch.inference_mode()
    def __call__(self, pixels: Pixels, ids: Sequence[str]) -> list[Prediction]:
        """A row for each of B images."""
        inputs = pixels_of_view(self.view, pixels, self.classifier.temperature.device)
        return self.of_features(self.classifier.encoder(inputs), ids)

    @property
    def encoder(self) -> nn.Module:
        """What makes features of pixels."""
        return self.classifier.encoder

    @torch.inference_mode()
    def of_features(self, features: Tensor, ids: Sequence[str]) -> list[Prediction]:
        """A row for each of B images, from the encoder's features [B, D]."""
        features = features.to(self.classifier.temperature.device)
        probabilities = self.classifier.classify(features).double().softmax(dim=1).cpu()  # [B, K]
        best = probabilities.topk(2, dim=1)
        unlike = _unlike(self.reference, features)
        names, rows = self.classifier.class_names, []
        for row, (first, second) in enumerate(best.indices.tolist()):
            probability = float(best.values[row, 0])
            unsure = probability < self._least or unlike[row]
            rows.append(
                Prediction(
                    ids[row], names[first], probability, names[second], unsure, unlike[row], ""
                )
            )
        return rows

    def unread(self, name: str, reason: str) -> Prediction:
        """Without a class, and unsure."""
        return Prediction(name, "", None, "", True, None, reason)


class TargetJudge:
    """Several classes an image, or numbers.

    Args:
        predictor: on its device.
        reference: what distances are taken to.
        view: the encoder's input from stored pixels.
    """

    def __init__(self, predictor: TargetPredictor, reference: Reference, view: CentreView) -> None:
        self.predictor, self.reference, self.view = predictor, reference, view
        self.columns = target_columns(predictor.task, predictor.names)
        self.threshold: Threshold | None = None
        self.class_names: Sequence[str] = ()

    @torch.inference_mode()
    def __call__(self, pixels: Pixels, ids: Sequence[str]) -> list[Row]:
        """A row for each of B images."""
        inputs = pixels_of_view(self.view, pixels, self.predictor.temperature.device)
        return self.of_features(self.predictor.encoder(inputs), ids)

    @property
    def encoder(self) -> nn.Module:
        """What makes features of pixels."""
        return self.predictor.encoder

    @torch.inference_mode()
    def of_features(self, features: Tensor, ids: Sequence[str]) -> list[Row]:
        """A row for each of B images, from the encoder's features [B, D]."""
        features = features.to(self.predictor.temperature.device)
        outputs = self.predictor.of_features(features).double().cpu()  # [B, T]
        unlike = _unlike(self.reference, features)
        values = (
            self._classes(outputs)
            if self.predictor.task == "multilabel"
            else self._numbers(outputs)
        )
        return [(ids[row], *own, unlike[row], "") for row, own in enumerate(values)]

    def _classes(self, logits: Tensor) -> list[Row]:
        """The names of the classes that are likelier than not, and the probability of each."""
        found: list[Row] = []
        for probabilities in logits.sigmoid().tolist():
            pairs = zip(self.predictor.names, probabilities, strict=True)
            likely = [name for name, probability in pairs if probability > 0.5]
            found.append((SEPARATOR.join(likely), *probabilities))
        return found

    def _numbers(self, numbers: Tensor) -> list[Row]:
        """Each number with its interval, which is empty where its width is not known."""
        widths = self.predictor.half_width.double().tolist()
        found: list[Row] = []
        for values in numbers.tolist():
            row: list[float | None] = []
            for value, width in zip(values, widths, strict=True):
                row += (
                    [value, value - width, value + width]
                    if math.isfinite(width)
                    else [value, None, None]
                )
            found.append(tuple(row))
        return found

    def unread(self, name: str, reason: str) -> Row:
        """With nothing but the reason."""
        middle: list[str | None] = [None] * (len(self.columns) - 2)
        if self.predictor.task == "multilabel":
            middle[0] = ""
        return (name, *middle, reason)


def _unlike(reference: Reference, features: Tensor) -> list[bool]:
    return (reference.distances(features) > reference.distance_limit).tolist()
