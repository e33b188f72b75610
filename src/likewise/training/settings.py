"""Every setting of a run but its method: one definition for Python, the command line and ``config.json``."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from likewise.data.columns.masks import MaskClasses
from likewise.training.logs import LoggerName
from likewise.training.precision import Precision

SettingsT = TypeVar("SettingsT")


@dataclass(frozen=True)
class TrainSettings:
    """What to learn from, with which network, for how long."""

    preset: str | None = None
    """start from a run that was published with the method: small, middle, imagenet, ...; what is typed wins over it"""
    labels: str = "all"
    """labels that training may see: none, all, 10 (a class), total:4000, 1%, a split file, or a CSV of
    image_path,label"""
    label_column: str | None = None
    """the column of Parquet files that holds the labels; default: label, labels, or the one marked as classes"""
    group_column: str | None = None
    """the column of Parquet files that says what belongs together (one scene, one speaker): held-out parts are then
    whole groups; default: group, also of a CSV of labels"""
    budget: str = "all"
    """with a CSV of labels: how many of them training may see, as above"""
    captions: str | None = None
    """a CSV of image_path,caption, a line for each caption, where the data bring none themselves"""
    caption_noise: float = 0.0
    """share of the training images that get another image's captions, for a study"""
    test_data: str | None = None
    """images to test on, where they are a source of their own; else the data's test split, or a part held out"""
    masks: str | None = None
    """folder of PNG masks, one an image under the same relative path: which class each pixel shows; none: no masks.
    Default: the column "mask" of Parquet files"""
    ignore_index: int = 255
    """the value in masks of pixels that belong to no class; they are neither learned from nor counted"""
    mask_classes: MaskClasses = "numbers"
    """numbers: a mask's values are classes; binary: they number objects, and all but 0 are one class"""
    out: str | None = None
    """the run's folder; never overwritten unless told so. Default: runs/<data>-<method>"""
    encoder: str = "auto"
    """conv4, also -half, -double, -wide; conv9, conv9-half; any timm name (timm/resnet18); auto chooses by size"""
    stem: Literal["auto", "small", "standard"] = "auto"
    """of ResNets: small is a 3x3 stride-1 convolution without max-pool; auto takes it up to 64 pixels"""
    pretrained: str | None = None
    """start from timm's own weights (timm), or from a local file"""
    from_run: str | None = None
    """start from the encoder of another run's folder; typed --from. Images are shown at its size, videos at its frame
    rate and in its region too, unless those are typed"""
    image_size: int | None = None
    """pixels along a side that the network sees; default: small images as they are, photographs at 128, clips at 64"""
    frames: int | None = None
    """frames of a video that the network sees at a time; default: the method's, or 16 for an encoder of clips"""
    frame_rate: float | None = None
    """frames a second that are kept of videos; default: the method's, or 8"""
    seconds: float | None = None
    """how much of each video is kept from its beginning; default: the median video, at most 10"""
    region: tuple[float, float, float, float] | None = None
    """part of each video's frames that is kept, as shares of their sides: left top right bottom; default: all"""
    epochs: float = 100
    """passes over the training images"""
    steps: int | None = None
    """optimiser steps, instead of epochs"""
    batch_size: int | None = None
    """images of a step over all devices, each counted once; default: 256, or a quarter of a set that is small"""
    microbatch: int | None = None
    """images that a device embeds at a time, where a batch does not fit its memory: the same gradient for about a
    third more time, but for batch normalisation, which then sees a microbatch at a time; default: all at once"""
    seed: int = 0
    """of weights, order, views, held-out parts and label draws"""
    validation: float = 0.1
    """share of the labelled training images held out for online scores, where the data bring no val split"""
    test: float = 0.2
    """share of the labelled images held out for the final scores, where the data bring no test split"""
    imbalance: Literal["none", "long-tail", "step"] = "none"
    """thin the labelled training images out, for a study: long-tail (exponential sizes) or step (some are rare)"""
    imbalance_ratio: float = 10.0
    """images of the most frequent class for one of the rarest, where imbalance is not none"""
    imbalance_rare: float = 0.5
    """share of the classes that are rare, the last ones, where imbalance is step"""
    label_noise: float = 0.0
    """falsify this share of the labels that training is shown, for a study; validation and test keep the true ones"""
    precision: Precision = "auto"
    """number format of the network: auto takes bfloat16 where it is faster, on GPUs and on CPUs with AMX"""
    compile: bool = False
    """fuse the encoder's operations (torch.compile): a minute at the start, then 1.1x for ResNet-18 on a CPU"""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to compute"""
    devices: int = 0
    """how many devices; 0: every GPU, or one CPU process"""
    workers: int = -1
    """processes that decode images which do not fit in memory; -1: one a core, at most 8"""
    num_evals: int = 10
    """times that online scores are taken during the run"""
    save_every: int | None = None
    """steps between checkpoints; default: a twentieth of the run"""
    loggers: tuple[LoggerName, ...] = ("csv", "tensorboard")
    """besides metrics.jsonl"""
    overwrite: bool = False
    """replace the run in the output folder"""
    resume: bool = False
    """continue the run in the output folder"""


UNCOMPARED = ("out", "overwrite", "resume", "loggers", "workers", "device", "devices", "save_every", "microbatch")
"""Settings that may differ when a run is resumed: they do not change what is learned. How many microbatches there are
does, whatever their size on one device; ``config.json`` says it beside the settings."""


def to_json(value: Any) -> Any:
    """A settings object as plain JSON content."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        stored = (field for field in dataclasses.fields(value) if field.metadata.get("stored", True))
        return {field.name: to_json(getattr(value, field.name)) for field in stored}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {name: to_json(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def from_json(kind: type[SettingsT], content: Mapping[str, Any]) -> SettingsT:
    """The settings object that `to_json` wrote."""
    hints = typing.get_type_hints(kind)
    return kind(**{name: _restored(hints[name], value) for name, value in content.items()})


def _restored(hint: Any, value: Any) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_json(typing.cast(type, hint), value)
    if typing.get_origin(hint) in (typing.Union, types.UnionType) and value is not None:
        return _restored(next(part for part in typing.get_args(hint) if part is not type(None)), value)
    return tuple(value) if isinstance(value, list) else value
