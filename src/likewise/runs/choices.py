"""What a run decides where the settings leave it open: the method, the encoder, the support of a batch."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from likewise import encoders, methods
from likewise.data.classes import class_counts
from likewise.data.columns.targets import TargetColumn
from likewise.data.loader import Support
from likewise.data.splits import channel_statistics
from likewise.data.video.clip_sampling import WHOLE_FRAME
from likewise.encoders import EncoderSettings
from likewise.encoders.encoder_settings import RUN_START
from likewise.encoders.stored_encoder import encoder_settings_of
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method
from likewise.methods.distillation import DistillationMethod
from likewise.run_folder import RunFolder
from likewise.runs.inputs import Inputs
from likewise.runs.open_data import RunData
from likewise.runs.settings import TrainSettings


class ChosenMethod(NamedTuple):
    """A method, and why it was chosen; no reason where it was named."""

    method: Method
    reason: str


def choose_method(
    named: Method | None, visible_labels: Tensor, targets: TargetColumn | None = None
) -> ChosenMethod:
    """The method that was named, or the one that suits the labels.

    Args:
        named: None chooses.
        visible_labels: int64 [N], -1 where training may see none.
        targets: several classes an image, or numbers, that training may see.

    Raises:
        LikewiseError: the method needs labels that training may not see or that do not exist.
    """
    counts = class_counts(visible_labels)
    if named is not None:
        require_labels(named, counts, targets)
        return ChosenMethod(named, "")
    if targets is not None and targets.present().any():
        kind = "several classes" if targets.task == "multilabel" else "numbers"
        return ChosenMethod(METHODS["y-aware"](), f"images are labelled with {kind}")
    labelled = sum(counts.values())
    fewest = min(counts.values(), default=0)
    name, reason = methods.choose_method(labelled, len(visible_labels), fewest, len(counts))
    return ChosenMethod(METHODS[name](), reason)


def require_labels(method: Method, counts: dict[int, int], targets: TargetColumn | None) -> None:
    """Refuse a method that needs more labels than training may see; ``counts``: labels of each class."""
    if method.card.needs == "no labels":
        return
    title, without = method.card.title, "or choose --method simclr, which needs none"
    if not counts and targets is not None:
        kind = "several classes an image" if targets.task == "multilabel" else "numbers"
        raise LikewiseError(
            f"{title} learns from one class an image, and these labels are {kind}. Choose --method y-aware, which "
            f"learns from them, {without}."
        )
    if not counts:
        raise LikewiseError(
            f"{title} learns from labels of at least two classes, but training sees no label. Give them in a CSV of "
            f"paths and labels, --labels labels.csv, or as one folder of images for each class; if the data have some, "
            f"show them with --labels all; {without}."
        )
    if len(counts) == 1:
        raise LikewiseError(
            f"{title} learns from labels of at least two classes, but all that training sees name one. Label images of "
            f"a second class; if the data have some, show them with --labels all; {without}."
        )
    if method.support and min(counts.values()) < 2:
        raise LikewiseError(
            f"{title} needs two labelled images of each class, but training sees only one of some. Label a second "
            f"image of those, or take their labels away; if the data have more, show them with --labels all; {without}."
        )


def fitted_support(
    method: Method, visible_labels: Tensor, batch_size: int, world_size: int = 1
) -> Support | None:
    """The method's support beside batches of a size, reduced to the labelled classes and images that there are."""
    support = method.support
    if support is None:
        return None
    counts = class_counts(visible_labels)
    # An image is twice in a batch only where a class has a single labelled image.
    most = max(min(counts.values()), 2)
    support = dataclasses.replace(support, classes=min(support.classes, len(counts)))
    return dataclasses.replace(
        support, images=support.images_for_batch(batch_size, world_size, most)
    )


def start_folder(settings: TrainSettings, method: Method | None) -> str:
    """The run whose encoder is the start: of ``--from``, or a teacher whose network is frozen; empty without one."""
    if settings.from_run:
        return settings.from_run
    if isinstance(method, DistillationMethod) and method.starts_from_teacher:
        return method.teacher
    return ""


def start_encoder(settings: TrainSettings, method: Method | None) -> EncoderSettings | None:
    """The settings of the encoder that a run starts from, if it is that of another run."""
    folder = start_folder(settings, method)
    return encoder_settings_of(RunFolder(folder).require().path) if folder else None


def choose_encoder(
    settings: TrainSettings,
    method: Method,
    data: RunData,
    inputs: Inputs,
    module: nn.Module | None = None,
) -> EncoderSettings:
    """The network that the settings or the method name, or one that suits the images; with the data's statistics.

    Args:
        settings: of the run.
        method: with its views.
        data: opened.
        inputs: what the encoder sees of each example.
        module: a user's network, which is taken instead.

    Raises:
        LikewiseError: there is no such network, or it does not read these images.
    """
    mean, std = channel_statistics(data.train.images)
    folder = start_folder(settings, method)
    frames, frame_rate = inputs.sampling or (1, None)
    if module is not None:
        _, chosen = encoders.encoder_from_module(module, data.image_size, mean, std)
    elif folder:
        chosen = _from_run(folder, data.image_size, len(mean))
    else:
        name = method.card.encoder if settings.encoder == "auto" else settings.encoder
        weights, missing = settings.pretrained_weights, settings.allow_missing
        chosen = encoders.choose_encoder(
            name, data.image_size, mean, std, settings.stem, weights, frames, missing
        )
    if frame_rate is None:
        given = settings.pixel_range is not None
        return replace(chosen, pixel_range=data.manifest.pixel_range, pixel_range_given=given)
    region = inputs.region or WHOLE_FRAME
    return replace(chosen, frames=frames, frame_rate=frame_rate, region=region)


def _from_run(folder: str, image_size: int, channels: int) -> EncoderSettings:
    """The encoder of another run, at this run's image size."""
    start = encoder_settings_of(RunFolder(folder).require().path)
    if start.channels != channels:
        raise LikewiseError(
            f"The encoder of {folder} reads {start.channels} colour channels, but these images have {channels}. "
            f"Give images of {start.channels} channels, or leave --from out."
        )
    return replace(start, image_size=image_size, pretrained=f"{RUN_START}{RunFolder(folder).path}")
