"""From what a person typed to everything that a run is made of, before anything is written or trained."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.checks.mask_check import MasksFound, look_at_masks
from likewise.data.columns.column import ColumnTransform, IndexedFeature
from likewise.data.images import default_size
from likewise.data.loader import Loader
from likewise.data.manifest import Manifest, class_counts
from likewise.encoders import EncoderSettings, choose_encoder
from likewise.encoders.build import RUN_START, encoder_settings_of
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Recipe, choose_method, find_method, with_view_size
from likewise.methods.clip_sampling import ClipSampling
from likewise.methods.taught import Taught
from likewise.run_folder import RunFolder
from likewise.training.clip_reading import clip_sampling, clip_size, inherit_input_config, with_clip_sampling
from likewise.training.modalities import require_modalities
from likewise.training.settings import TrainSettings
from likewise.training.splits import Split, channel_statistics, open_split_manifest, open_splits, visible_labels


@dataclass(frozen=True)
class Prepared:
    """A run, ready to go."""

    settings: TrainSettings
    """as given"""
    manifest: Manifest
    """everything that was found, splits decided"""
    splits: dict[str, Split]
    """train always; val and test where there are labels to hold out"""
    shown: Tensor
    """int64 [N] labels of the training split that training may see, -1 elsewhere"""
    method: Method
    """with its views sized"""
    method_reason: str
    """why it was taken; empty where it was named"""
    recipe: Recipe
    """the method's, unless told otherwise"""
    encoder: EncoderSettings
    """network and normalisation"""
    masks: MasksFound | None = None
    """which classes the pixels show, where training and test images have masks"""
    transforms: Mapping[str, ColumnTransform] = field(default_factory=dict)
    """how what lies beside the pixels becomes numbers, by name"""
    modalities: Mapping[str, IndexedFeature] = field(default_factory=dict)
    """those numbers of the training split"""

    @property
    def train(self) -> Split:
        """The training split."""
        return self.splits["train"]

    @property
    def with_label_noise(self) -> int:
        """How many of the labels shown are wrong on purpose (``--label-noise``)."""
        return int(((self.shown != UNLABELLED) & (self.shown != self.train.labels)).sum())

    @property
    def learned(self) -> Tensor:
        """Int64, sorted positions in the training split of the images that the method is given."""
        if self.method.only_labelled:
            return (self.shown != UNLABELLED).nonzero().flatten()
        return torch.arange(len(self.shown))

    @property
    def batch_size(self) -> int:
        """As given, or 256; of fewer than 1,024 images the power of two within a quarter, but 8 where there are 8."""
        if self.settings.batch_size is not None:
            return self.settings.batch_size
        count = len(self.learned)
        limit = max(count // 4, min(8, count), 2)
        return min(256, 1 << (limit.bit_length() - 1))

    def loader(self, rank: int = 0, world_size: int = 1) -> Loader:
        """Batches of the training split for one rank.

        Where labelled images alone are learned from and there are fewer than a batch, they are repeated, each time in
        another view.
        """
        settings, workers = self.settings, self.settings.workers
        images, shown, learned = self.train.train_images, self.shown, self.learned
        if len(learned) < len(shown):
            learned = learned.repeat(math.ceil(self.batch_size / len(learned)))
            images, shown = images.take(learned), shown[learned]
        return Loader(
            images,
            shown,
            self.batch_size,
            settings.seed,
            fitted_support(self.method, self.shown),
            min(os.cpu_count() or 1, 8) if workers < 0 else workers,
            rank,
            world_size,
            self.modalities,
        )

    def steps(self, loader: Loader) -> int:
        """Optimiser steps of the whole run."""
        return self.settings.steps or max(round(self.settings.epochs * loader.steps_per_epoch), 1)

    def _clips(self) -> dict[str, Any] | None:
        """What is kept and seen of videos, where clips are learned from."""
        if self.train.clips is None:
            return None
        return {"kept": self.train.clips.frames, "seen": self.encoder.frames, "frame_rate": self.encoder.frame_rate}

    def _left_out(self) -> list[str]:
        """That images were left out for lack of a label, if so."""
        given, there = len(self.learned), len(self.shown)
        only = f"{type(self.method).title} learns from the {given:,} labelled of {there:,} training images alone"
        return [only] if given < there else []

    def _mask_warnings(self) -> list[str]:
        if self.masks is not None and self.encoder.frames > 1:
            return ["masks are of single frames and the encoder sees several, so segmentation is not scored."]
        if self.manifest.masks is None or self.masks is not None:
            return []
        return ["there are masks, but not both in train and in test, so segmentation cannot be scored."]

    def found(self) -> dict[str, Any]:
        """What was found in the data, for the first screen, ``data.json`` and the page."""
        summary = self.manifest.summary()
        counts, shown = class_counts(self.manifest.labels), class_counts(self.shown)
        return {
            "source": summary["source"],
            "splits": {name: len(split.manifest) for name, split in self.splits.items()},
            "classes": [
                {"name": name, "count": counts.get(i, 0), "visible_labels": shown.get(i, 0)}
                for i, name in enumerate(self.manifest.class_names)
            ],
            "labelled": summary["labelled"],
            "unlabelled": summary["unlabelled"],
            "visible_labels": int((self.shown != UNLABELLED).sum()),
            "noisy_labels": self.with_label_noise,
            "image_size": self.encoder.image_size,
            "channels": self.encoder.channels,
            "clips": self._clips(),
            "sizes": summary["sizes"],
            "masks": self.masks._asdict() if self.masks else None,
            "columns": summary["columns"],
            "skipped": summary["skipped"],
            "notes": [*summary["notes"], *self._left_out()],
            "warnings": [*summary["warnings"], *self._mask_warnings(), *self.method.warnings(len(self.train.manifest))],
        }


def prepare(
    data: Any, settings: TrainSettings, method: str | Method = "auto", recipe: Recipe | None = None
) -> Prepared:
    """Open the data, hide labels, choose what was left to us.

    Raises:
        LikewiseError: anything that cannot be used, named.
    """
    _check(settings)
    asked = find_method(method)() if isinstance(method, str) and method != "auto" else method
    start = encoder_settings_of(RunFolder(settings.from_run)) if settings.from_run else None
    settings = inherit_input_config(start, settings)
    time = clip_sampling(asked if isinstance(asked, Method) else None, settings, start)
    manifest = open_split_manifest(data, settings, time, settings.image_size)
    if isinstance(asked, Method):
        manifest = require_modalities(manifest, asked)
    size = settings.image_size or (clip_size(manifest) if time else default_size(manifest))
    masks = look_at_masks(manifest)
    splits = open_splits(manifest, size, time=time)
    train = splits["train"].manifest
    shown = visible_labels(settings, train)
    rule, reason = resolve_method(asked, shown)
    check_method_fits(rule, shown)
    if isinstance(rule, Taught) and rule.keeps_network and rule.teacher:
        settings = dataclasses.replace(settings, from_run=rule.teacher)
    mean, std = channel_statistics(splits["train"].images)
    encoder = with_clip_sampling(_encoder_settings(settings, rule, size, mean, std, time), time, settings)
    transforms = rule.transforms(train)
    return Prepared(
        settings,
        manifest,
        splits,
        shown,
        with_view_size(rule, size, time.frames if time else None),
        reason,
        recipe or rule.recipe,
        encoder,
        masks,
        transforms,
        {name: reader.of(train.columns[name]) for name, reader in transforms.items()},
    )


def resolve_method(method: str | Method, shown: Tensor) -> tuple[Method, str]:
    """The method, and why where it was left to us."""
    if isinstance(method, Method):
        return method, ""
    if method != "auto":
        return find_method(method)(), ""
    counts = class_counts(shown)
    name, reason = choose_method(sum(counts.values()), len(shown), min(counts.values(), default=0), len(counts))
    return METHODS[name](), reason


def check_method_fits(method: Method, shown: Tensor) -> None:
    """Refuse a method whose labels are not there."""
    counts = class_counts(shown)
    if method.needs == "no labels":
        return
    remedy = "Show labels with --labels (all, 10, 1%, or a CSV of image_path,label), or choose --method simclr."
    if len(counts) < 2:
        have = "no image is labelled" if not counts else "all labels name one class"
        raise LikewiseError(f"{method.title} learns from labels of at least two classes, but {have}. {remedy}")
    if method.support and min(counts.values()) < 2:
        raise LikewiseError(
            f"{method.title} needs two labelled images of each class, but a class has only one. {remedy}"
        )


def fitted_support(method: Method, shown: Tensor) -> Any:
    """The method's support with no more classes than are labelled, and never an image twice in a batch if avoidable."""
    support = method.support
    if support is None:
        return None
    counts = class_counts(shown)
    return dataclasses.replace(
        support, classes=min(support.classes, len(counts)), images=min(support.images, max(min(counts.values()), 2))
    )


def _encoder_settings(
    settings: TrainSettings,
    method: Method,
    size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    time: ClipSampling | None,
) -> EncoderSettings:
    if settings.from_run is None:
        start, frames = settings.pretrained or "", time.frames if time else 1
        name = method.network if settings.encoder == "auto" else settings.encoder
        return choose_encoder(name, size, mean, std, settings.stem, start, frames)
    run = RunFolder(settings.from_run)
    start = encoder_settings_of(run)
    if start.channels != len(mean):
        raise LikewiseError(
            f"The encoder of {run.path} reads {start.channels} colour channels, but these images have {len(mean)}."
        )
    return dataclasses.replace(start, image_size=size, pretrained=f"{RUN_START}{run.path}")


def _check(settings: TrainSettings) -> None:
    if settings.resume and settings.overwrite:
        raise LikewiseError("--resume continues a run and --overwrite deletes it; give one of them.")
    if settings.pretrained and settings.from_run:
        raise LikewiseError("--pretrained and --from both name a start; give one of them.")
    for name, value, low in (
        ("epochs", settings.epochs, 0), ("steps", settings.steps or 1, 0), ("image-size", settings.image_size or 1, 7),
    ):  # fmt: skip
        if value <= low and not (name == "image-size" and settings.image_size is None):
            raise LikewiseError(f"--{name} {value} was given; it must be above {low}.")
    for name, share in (("validation", settings.validation), ("test", settings.test)):
        if not 0 < share < 1:
            raise LikewiseError(f"--{name} {share} was given; it is a share between 0 and 1, for instance 0.1.")
    if not 0 <= settings.caption_noise <= 1:
        raise LikewiseError(f"--caption-noise {settings.caption_noise} was given; it is a share from 0 to 1.")
