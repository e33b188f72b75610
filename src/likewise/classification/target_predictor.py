"""An encoder with a linear head for several classes an image, or for numbers; and its files in a run's folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from likewise.classification.files import read_classifier, write_classifier
from likewise.classification.reference import Reference
from likewise.classification.target_head import (
    FEWEST,
    FittedTargets,
    fit_targets,
    interval_half_width,
    sigmoid_temperature,
)
from likewise.data.columns.targets import TargetColumn, TargetTask
from likewise.data.images import Images
from likewise.encoders import Encoder, EncoderSettings
from likewise.errors import LikewiseError
from likewise.evaluation.features import EvalView, Extracted, extract_readable


class TargetPredictor(nn.Module):
    """Pixels in; logits of T classes whose sigmoid is calibrated, or T numbers, out.

    Args:
        encoder: float [B, C, S, S] in [0, 1] -> features [B, D].
        head: features [B, D] -> [B, T].
        task: multilabel or regression.
        names: of the T classes or numbers.
        temperature: what logits are divided by, above 0; 1 for numbers.
        half_width: float [T], how far a number may lie from its prediction in 90 % of new images; infinite where that
            is not known. For classes it means nothing.
    """

    half_width: Tensor
    temperature: Tensor

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Linear,
        task: TargetTask,
        names: Sequence[str],
        temperature: float = 1.0,
        half_width: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.head, self.names = encoder, head, tuple(names)
        self.task: TargetTask = task
        self.register_buffer("temperature", torch.tensor(float(temperature)))
        unknown = torch.full((len(self.names),), math.inf)
        self.register_buffer("half_width", unknown if half_width is None else half_width.float())

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> [B, T]."""
        return self.of_features(self.encoder(pixels))

    def of_features(self, features: Tensor) -> Tensor:
        """The encoder's features [B, D] -> logits of classes, or numbers, [B, T]."""
        return self.head(features) / self.temperature


class LabelledTargets(NamedTuple):
    """N images with their targets."""

    images: Images
    column: TargetColumn
    groups: Tensor | None = None
    """int64 [N], which images belong together"""


class FittedPredictor(NamedTuple):
    """A predictor, and what new images are compared with."""

    predictor: TargetPredictor
    reference: Reference


def fit_predictor(
    encoder: Encoder,
    train: LabelledTargets,
    validation: LabelledTargets | None,
    view: EvalView,
    seed: int,
    device: torch.device,
    encoder_saw_targets: bool,
) -> FittedPredictor | None:
    """A head on the features of a trained encoder, calibrated on images that neither has learned from.

    Held out are the validation images; or, where the encoder learned without targets, the training images out of fold.
    Otherwise nothing is: the temperature is 1, and the width of intervals is not known.

    Args:
        encoder: trained.
        train: images with the targets that training was shown.
        validation: images that training did not see, or None.
        view: the encoder's input from stored pixels.
        seed: of the folds.
        device: where to compute.
        encoder_saw_targets: whether the encoder learned from the targets of ``train``.

    Returns:
        None with fewer than 10 images whose targets are known.
    """
    found, targets = _known(encoder, train, view, device)
    if len(targets) < FEWEST:
        return None
    groups = None if train.groups is None else train.groups[found.positions]
    fitted = fit_targets(found.vectors, targets, seed, groups)
    held_out, source = _held_out(
        encoder, fitted, targets, validation, view, device, encoder_saw_targets
    )
    temperature, half_width = 1.0, None
    if targets.task == "multilabel":
        temperature = sigmoid_temperature(*held_out)
    else:
        half_width = interval_half_width(*held_out)
    predictor = TargetPredictor(
        encoder, fitted.head, targets.task, targets.names, temperature, half_width
    )
    protocol = {**fitted.protocol, "held_out": {source: len(held_out[0])} if source else {}}
    nothing = torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64)
    reference = Reference.of(found.vectors, *nothing, 1.0, protocol, seed)
    return FittedPredictor(predictor.eval(), reference)


def _known(
    encoder: Encoder, data: LabelledTargets, view: EvalView, device: torch.device
) -> tuple[Extracted, TargetColumn]:
    """Features and targets of the images whose targets are known and whose file can be read."""
    rows = torch.from_numpy(data.column.present()).nonzero().flatten()
    if len(rows) < FEWEST:
        none = rows[:0]
        return Extracted(torch.zeros(0, 0), none), data.column.take(none.numpy())
    found = extract_readable(encoder, data.images, rows, view, device=device)
    return found, data.column.take(found.positions.numpy())


def _held_out(
    encoder: Encoder,
    fitted: FittedTargets,
    targets: TargetColumn,
    validation: LabelledTargets | None,
    view: EvalView,
    device: torch.device,
    encoder_saw_targets: bool,
) -> tuple[tuple[Tensor, Tensor], str]:
    """Predictions and targets [M, T] of images that were held out, and where they are from."""
    if validation is not None and validation.column.names == targets.names:
        found, own = _known(encoder, validation, view, device)
        if len(own):
            predicted = fitted.head(found.vectors).detach()
            return (predicted, torch.from_numpy(own.values)), "validation split"
    if not encoder_saw_targets:
        return (fitted.out_of_fold, torch.from_numpy(targets.values)), "out of fold"
    nothing = torch.zeros(0, len(targets.names))
    return (nothing, nothing), ""


def save_predictor(fitted: FittedPredictor, settings: EncoderSettings, folder: str | Path) -> None:
    """Write a predictor into a run's folder, beside its encoder, as the files ``classifier.*``.

    Args:
        fitted: predictor and reference.
        settings: of the encoder.
        folder: of the run.
    """
    predictor, reference = fitted
    content = {
        "task": predictor.task,
        "names": list(predictor.names),
        "temperature": float(predictor.temperature),
    }
    write_classifier(
        predictor.encoder,
        settings,
        predictor.head,
        reference,
        content,
        folder,
        half_width=predictor.half_width,
    )


def load_predictor(folder: str | Path, module: nn.Module | None = None) -> TargetPredictor:
    """The predictor in a run's folder, in eval mode.

    Args:
        folder: of a run that saw several classes an image, or numbers.
        module: of the shape of the encoder, for a user's module that cannot be rebuilt from its name.

    Raises:
        LikewiseError: the folder has none.
    """
    stored = read_classifier(folder, module)
    if "task" not in stored.content:
        raise LikewiseError(
            f"{folder} predicts one class an image: likewise.classification.load_classifier reads it."
        )
    task, names, temperature = (stored.content[key] for key in ("task", "names", "temperature"))
    return TargetPredictor(
        stored.encoder, stored.head, task, names, temperature, stored.tensors["half_width"]
    ).eval()
