"""From what a person typed to everything that a run is made of, before anything is written or trained."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.images import Images, default_channels, default_size, open_images
from likewise.data.label_budget import LabelBudget
from likewise.data.label_file import is_label_file
from likewise.data.loader import Loader
from likewise.data.manifest import Manifest, class_counts
from likewise.data.samplers import long_tailed, step_imbalanced
from likewise.data.sources import open_manifest
from likewise.encoders import EncoderSettings, choose_encoder
from likewise.encoders.build import RUN_START
from likewise.errors import LikewiseError
from likewise.methods import METHODS, Method, Recipe, choose_method, find_method, with_view_size
from likewise.run_folder import RunFolder, read_json
from likewise.training.settings import TrainSettings

MARGIN = 8 / 7
"""Photographs are stored this much larger than they are shown: 256 pixels for 224, as evaluation has always had it."""


@dataclass(frozen=True)
class Split:
    """One part of the data, opened."""

    manifest: Manifest
    """with all labels that are known"""
    images: Images
    """decoded to one size"""

    @property
    def labels(self) -> Tensor:
        """int64 [N], -1 where none is known."""
        return self.manifest.labels

    def known(self) -> Tensor:
        """int64 positions of the examples whose label is known."""
        return (self.labels != UNLABELLED).nonzero().flatten()


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

    @property
    def train(self) -> Split:
        """The training split."""
        return self.splits["train"]

    @property
    def batch_size(self) -> int:
        """As given, or 256; of fewer than 1,024 images the power of two within a quarter, but 8 where there are 8."""
        if self.settings.batch_size is not None:
            return self.settings.batch_size
        count = len(self.train.manifest)
        limit = max(count // 4, min(8, count), 2)
        return min(256, 1 << (limit.bit_length() - 1))

    def loader(self, rank: int = 0, world_size: int = 1) -> Loader:
        """Batches of the training split for one rank."""
        settings, workers = self.settings, self.settings.workers
        return Loader(
            self.train.images,
            self.shown,
            self.batch_size,
            settings.seed,
            fitted_support(self.method, self.shown),
            min(os.cpu_count() or 1, 8) if workers < 0 else workers,
            rank,
            world_size,
        )

    def steps(self, loader: Loader) -> int:
        """Optimiser steps of the whole run."""
        return self.settings.steps or max(round(self.settings.epochs * loader.steps_per_epoch), 1)

    def found(self) -> dict[str, Any]:
        """What was found in the data, for the first screen, ``data.json`` and the page."""
        summary = self.manifest.summary()
        counts, shown = class_counts(self.manifest.labels), class_counts(self.shown)
        return {
            "source": summary["source"],
            "splits": {name: len(split.manifest) for name, split in self.splits.items()},
            "classes": [
                {"name": name, "count": counts.get(i, 0), "labels_shown": shown.get(i, 0)}
                for i, name in enumerate(self.manifest.class_names)
            ],
            "labelled": summary["labelled"],
            "unlabelled": summary["unlabelled"],
            "labels_shown": int((self.shown != UNLABELLED).sum()),
            "image_size": self.encoder.image_size,
            "channels": self.encoder.channels,
            "sizes": summary["sizes"],
            "skipped": summary["skipped"],
            "notes": summary["notes"],
            "warnings": summary["warnings"],
        }


def prepare(
    data: Any, settings: TrainSettings, method: str | Method = "auto", recipe: Recipe | None = None
) -> Prepared:
    """Open the data, hide labels, choose what was left to us.

    Raises:
        LikewiseError: anything that cannot be used, named.
    """
    _check(settings)
    manifest = open_split_manifest(data, settings)
    size = settings.image_size or default_size(manifest)
    splits = open_splits(manifest, size)
    train = splits["train"].manifest
    shown = budget_of(settings).apply(train.labels, train.ids, train.class_names)
    rule, reason = resolve_method(method, shown, settings.pretrained)
    check_method_fits(rule, shown)
    mean, std = channel_statistics(splits["train"].images)
    encoder = _encoder_settings(settings, size, mean, std)
    return Prepared(
        settings,
        manifest,
        splits,
        shown,
        with_view_size(rule, size),
        reason,
        recipe or rule.recipe,
        encoder,
    )


def open_split_manifest(data: Any, settings: TrainSettings) -> Manifest:
    """The data with train, val and test decided: what they bring, else parts of the labelled images held out."""
    labels = settings.labels if is_label_file(settings.labels) else None
    manifest = open_manifest(data, labels, settings.test_data)
    present = set(manifest.splits.tolist())
    if manifest.labelled() == 0:
        return manifest
    if "test" not in present:
        manifest = manifest.hold_out(settings.test, settings.seed, "test")
    if "val" not in present:
        manifest = manifest.hold_out(settings.validation, settings.seed, "val")
    return manifest if settings.imbalance == "none" else _imbalanced(manifest, settings)


def _imbalanced(manifest: Manifest, settings: TrainSettings) -> Manifest:
    """The training images thinned out to unequal classes; validation and test images stay as they are."""
    train = np.flatnonzero(manifest.splits == "train")
    labels = manifest.labels[torch.from_numpy(train)]
    if settings.imbalance == "long-tail":
        kept = long_tailed(labels, settings.imbalance_ratio, settings.seed)
    else:
        kept = step_imbalanced(labels, 0.5, settings.imbalance_ratio, settings.seed)
    others = np.flatnonzero(manifest.splits != "train")
    return manifest.take(np.sort(np.concatenate([train[kept.numpy()], others])))


def stored_size(manifest: Manifest, size: int) -> int:
    """The side at which images are kept: as they are where that is what is shown, else with a margin for crops."""
    return size if (manifest.pixels.headers.sizes == size).all() else round(size * MARGIN)


def open_splits(manifest: Manifest, size: int, channels: int | None = None) -> dict[str, Split]:
    """Decode each split for an encoder of some size; None channels: 1 where every image is gray, else 3."""
    stored, channels = stored_size(manifest, size), channels or default_channels(manifest)
    opened = {}
    for name in ("train", "val", "test"):
        part = manifest.split(name)
        if len(part):
            opened[name] = Split(part, open_images(part, stored, channels))
    if "train" not in opened:
        raise LikewiseError(
            f"{manifest.source} has no training images: by name all belong to {', '.join(sorted(opened))}. Give "
            f"training images too: a folder named train, or a file whose name does not say val or test."
        )
    return opened


def budget_of(settings: TrainSettings) -> LabelBudget:
    """The label budget that the settings name."""
    text = settings.budget if is_label_file(settings.labels) else settings.labels
    return LabelBudget.parse(text, settings.seed)


def resolve_method(method: str | Method, shown: Tensor, pretrained: str | None = None) -> tuple[Method, str]:
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


def channel_statistics(images: Images, sample: int = 2000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel in [0, 1], over an even sample of the training images."""
    index = torch.from_numpy(np.linspace(0, len(images) - 1, min(sample, len(images))).round().astype(np.int64))
    values = images.read(index).images.float().div(255).transpose(0, 1).flatten(1)
    mean, std = values.mean(dim=1), values.std(dim=1).clamp(min=0.01)
    return tuple(round(v, 4) for v in mean.tolist()), tuple(round(v, 4) for v in std.tolist())


def _encoder_settings(
    settings: TrainSettings, size: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> EncoderSettings:
    if settings.from_run is None:
        return choose_encoder(settings.encoder, size, mean, std, settings.stem, settings.pretrained or "")
    run = RunFolder(settings.from_run).require()
    stored = read_json(run.encoder)
    start = EncoderSettings(**{**stored, "mean": tuple(stored["mean"]), "std": tuple(stored["std"])})
    if start.channels != len(mean):
        raise LikewiseError(
            f"The encoder of {run.path} reads {start.channels} colour channels, but these images have {len(mean)}."
        )
    return dataclasses.replace(start, image_size=size, pretrained=f"{RUN_START}{Path(settings.from_run)}")


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
