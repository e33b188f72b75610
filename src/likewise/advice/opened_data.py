"""The images that an advice is about, and the labels that it may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.missing_labels import hint_on_minus_one
from likewise.data.columns.targets import targets_in
from likewise.data.encoder_range import refuse_unused_range
from likewise.data.even_sample import evenly_spaced
from likewise.data.images import Images
from likewise.data.label_budget import LabelBudget
from likewise.data.left_out import some_files
from likewise.data.manifest import Manifest
from likewise.data.open_images import default_channels, fits_in_memory, open_images, stored_size
from likewise.data.readable_rows import readable_rows
from likewise.data.sources.label_file import is_label_file
from likewise.data.sources.open import open_manifest
from likewise.encoders import EncoderSettings
from likewise.errors import LikewiseError

TO_TYPE = (
    "Name a CSV of paths and labels with --labels labels.csv, "
    "or give a folder with one folder of images for each class"
)


@dataclass(frozen=True)
class LabelledData:
    """N training images with their visible labels. The test and validation parts of the data are not included."""

    source: str
    """the data as they were named"""
    manifest: Manifest
    """the examples, with the visible labels"""
    labels: Tensor
    """int64 [N] in 0..K-1 for the K classes that have a label, -1 where hidden"""
    class_names: tuple[str, ...]
    """names of the K classes"""
    groups: Tensor | None
    """int64 [N], a number for each group of examples that belong together; None: unknown"""
    notes: tuple[str, ...]
    """what was left out, and why"""
    left_out: Mapping[str, str]
    """files that are not among the N images, since they cannot be opened, each with the reason"""
    pixel_range_given: bool = False
    """whether the range of pixels was given, and not found in the images"""

    @property
    def classes(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def labelled(self) -> Tensor:
        """int64 [L], positions of the images with a visible label."""
        return (self.labels != UNLABELLED).nonzero().flatten()

    def seen_by(self, encoder: EncoderSettings) -> EncoderSettings:
        """The settings of an encoder with the range of these pixels."""
        known, given = self.manifest.pixel_range, self.pixel_range_given
        return replace(encoder, pixel_range=known, pixel_range_given=given)

    def images(self, size: int, sample: int | None = None) -> Images:
        """The images, decoded for an encoder that reads ``size`` pixels a side.

        Args:
            size: side in pixels.
            sample: only so many images, spread over all of them.
        """
        manifest, channels = self.manifest, default_channels(self.manifest)
        stored = stored_size(manifest, size)
        if sample is not None and sample < len(manifest):
            manifest = manifest.take(evenly_spaced(len(manifest), sample))
        return open_images(manifest, stored, channels)

    def fits_in_memory(self, size: int) -> bool:
        """Whether the images are decoded once for an encoder of ``size`` pixels a side, and not each time."""
        stored, channels = stored_size(self.manifest, size), default_channels(self.manifest)
        return fits_in_memory(self.manifest, stored, channels)

    def readable(self, size: int, max_bad: float) -> tuple[LabelledData, Images]:
        """All but the images that cannot be decoded, which a note names; and those images at some size.

        Args:
            size: side in pixels that the encoder reads.
            max_bad: share of the files, 0 to 1, that may be unreadable.

        Raises:
            FilesLeftOut: more than that share cannot be read.
            LikewiseError: no labelled image of some class is left.
        """
        images = self.images(size)
        files = len(images) + len(self.left_out)
        rows = readable_rows(
            self.manifest, images, self.labels, self.class_names, self.left_out, files, max_bad
        )
        unread = images.unreadable
        if not unread:
            return self, images
        note = f"{amount(len(unread), 'image')} cannot be decoded and are left out. {some_files(unread)}"
        left = replace(self.take(rows), notes=(*self.notes, note))
        return left, images.take(rows)

    def take(self, rows: Tensor) -> LabelledData:
        """Some of the images, int64 [M], with a note if others are left out."""
        notes = self.notes
        if len(rows) < len(self.labels):
            found = int((self.labels[rows] != UNLABELLED).sum())
            notes += (
                f"{len(rows):,} of {amount(len(self.labels), 'image')} are used, {found:,} of "
                f"{amount(len(self.labelled), 'label')}: what can be read in the time",
            )
        groups = None if self.groups is None else self.groups[rows]
        manifest = self.manifest.take(rows)
        return replace(
            self, manifest=manifest, labels=self.labels[rows], groups=groups, notes=notes
        )


def open_labelled(
    data: Any,
    labels: Any = "all",
    budget: str = "all",
    seed: int = 0,
    columns: ColumnNames | None = None,
    pixel_range: tuple[float, float] | None = None,
) -> LabelledData:
    """Open a source of images for an advice.

    Args:
        data: as for `likewise.train`.
        labels: a CSV of paths and labels; or one label for each image; or how many of the data's own are visible.
        budget: how many labels of a CSV, or of an array, are visible.
        seed: of the choice of visible labels.
        columns: those that were named.
        pixel_range: values of deep pixels that become black and white; None: found in the images.

    Raises:
        LikewiseError: no label, or labels of one class only.
    """
    named = isinstance(labels, str | int | Path)
    given: Any = labels if not named or is_label_file(str(labels)) else None
    whole = open_manifest(data, given, columns=columns or ColumnNames(), pixel_range=pixel_range)
    refuse_unused_range(whole, pixel_range)
    train = whole.split("train")
    if not len(train):
        raise LikewiseError(
            f"{whole.source} has no training images. Give images that are not in a test split."
        )
    targets = targets_in(train.columns)
    if targets is not None:
        kind = "several classes an image" if targets.task == "multilabel" else "numbers"
        raise LikewiseError(
            f"advise compares classifiers of one class an image, and these labels are {kind}. A run learns from them, "
            f"and likewise predict takes it: likewise train DATA --labels labels.csv."
        )
    if not train.labelled():
        raise LikewiseError(
            f"advise needs labels, and none of the {amount(len(train), 'image')} has one. {TO_TYPE}."
        )
    label_budget = LabelBudget.parse(budget if given is not None else str(labels), seed)
    visible = label_budget.apply(train.labels, train.ids, train.class_names)
    present = visible[visible != UNLABELLED].unique()
    _require_classes(present, train, visible)
    numbers = torch.full((train.classes + 1,), UNLABELLED)
    numbers[present] = torch.arange(len(present))
    names = tuple(train.class_names[number] for number in present.tolist())
    notes = _notes(whole, train, names)
    return LabelledData(
        whole.source,
        train.with_labels(visible),
        numbers[visible],
        names,
        _groups(train),
        notes,
        whole.unread,
        pixel_range is not None,
    )


def _require_classes(present: Tensor, train: Manifest, visible: Tensor) -> None:
    if not len(present):
        raise LikewiseError(
            f"advise needs labels, and --labels shows none. {TO_TYPE}, or show some: --labels all."
        )
    if len(present) == 1:
        count = int((visible != UNLABELLED).sum())
        known = "The only label is" if count == 1 else f"All {amount(count, 'label')} are"
        only = train.class_names[int(present[0])]
        hint = hint_on_minus_one(only, visible)
        raise LikewiseError(
            f"{known} of one class, {only}, so there is nothing to tell apart. Label images of a second class.{hint}"
        )


def _notes(whole: Manifest, train: Manifest, names: tuple[str, ...]) -> tuple[str, ...]:
    notes = [*whole.notes, *whole.warnings()]
    if len(train) < len(whole):
        notes.append(
            f"{amount(len(whole) - len(train), 'image')} of the test or validation part are not used"
        )
    missing = [name for name in train.class_names if name not in names]
    if missing:
        notes.append(
            f"no label of {', '.join(missing)} is visible, so the classifier does not know it"
        )
    return tuple(notes)


def _groups(train: Manifest) -> Tensor | None:
    """Numbers for the groups; each example whose group is not known is a group of its own."""
    if train.groups is None:
        return None
    known = train.groups.present()
    names = np.where(known, train.groups.names, [f"\0{row}" for row in range(len(train))])
    return torch.from_numpy(np.unique(names, return_inverse=True)[1])
