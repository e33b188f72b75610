"""What should be known of a data set before step 0: classes of one image, splits without some class, skipped files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from likewise.counts import amount, count, first_of
from likewise.data.classes import class_counts, nearly_the_same
from likewise.data.columns.missing_labels import hint_on_minus_one, named_as_missing
from likewise.data.columns.targets import targets_in
from likewise.data.pixel_source import FRAMES, VIDEO_MODE

if TYPE_CHECKING:
    from likewise.data.manifest import Manifest

SHOWN = 3
"""names of classes or files in a sentence"""


def warnings_of(manifest: Manifest) -> Iterator[str]:
    """Each is a sentence that names what it is about."""
    train = manifest.labels[torch.from_numpy(manifest.splits == "train")]
    counts = class_counts(train)
    single = [manifest.class_names[label] for label, images in counts.items() if images == 1]
    if single:
        yield f"{first_of(single, SHOWN)}: only one training image, so none of its class to learn from or hold out."
    yield from _of_another_task(manifest)
    if len(counts) == 1:
        only = manifest.class_names[next(iter(counts))]
        yield f"{only}: only one labelled class; nothing can be classified.{hint_on_minus_one(only, train)}"
    if counts:
        yield from _of_splits(manifest, counts)
    yield from _of_class_names(manifest.class_names)
    leaking = []
    if manifest.groups is not None:
        leaking = manifest.groups.leaking_between_splits(manifest.splits)
    if leaking:
        yield (
            f"{first_of(leaking, SHOWN)}: group leakage between splits, in train and in val or test; scores may be "
            f"optimistic."
        )
    yield from _of_files(manifest)


def _of_another_task(manifest: Manifest) -> Iterator[str]:
    """Where labels look like numbers to predict, or like several classes that are taken as one."""
    fractions = fractions_among(manifest.class_names)
    if fractions:
        yield (
            f"{first_of(fractions, SHOWN)}: each of these numbers is taken as a class. If numbers are to be predicted: "
            f"--task regression"
        )
    targets = targets_in(manifest.columns)
    if targets is None or targets.task != "multilabel":
        return
    joined = [name for name in targets.names if "," in name or ";" in name]
    if joined:
        yield f"{first_of(joined, SHOWN)}: each is taken as one class. Several classes have a bar between them: cat|dog"


def _of_splits(manifest: Manifest, train: Mapping[int, int]) -> Iterator[str]:
    """Where the labels of val and test are not those of training, of which there are some of each class."""
    test_only = sorted(set(class_counts(manifest.labels)) - set(train))
    if test_only:
        names = [manifest.class_names[label] for label in test_only]
        yield f"{first_of(names, SHOWN)}: labelled in val or test, never in train."
    test = manifest.labels[torch.from_numpy(manifest.splits == "test")]
    if len(test) and not class_counts(test):
        yield (
            f"no test image has a label, of {count(len(test))}, so accuracy will not be measured. Label some of "
            f"them; or leave them out of the data, and a part of the labelled images is held out."
        )


def _of_class_names(class_names: Sequence[str]) -> Iterator[str]:
    """Where several names may mean one class, or a name no label."""
    for names in nearly_the_same(class_names):
        listed = ", ".join(name if name == name.strip() else repr(name) for name in names)
        yield (
            f"{listed}: class names that differ only in case, spaces or the writing of a number; each is a class. "
            f"To merge them, rename."
        )
    missing = named_as_missing(class_names)
    if missing:
        yield (
            f"{first_of(missing, SHOWN)}: taken as a class. An image without a label has an empty cell or -1, or lies "
            f"in a folder called unlabeled."
        )


def _of_files(manifest: Manifest) -> Iterator[str]:
    """What is not used of the files."""
    modes = manifest.pixels.headers.modes.tolist()
    if VIDEO_MODE in modes:
        yield "videos: only the middle frame of each is used, as a still image."
    frames = [manifest.ids[row] for row, mode in enumerate(modes) if mode.endswith(FRAMES)]
    if frames:
        yield f"{first_of(frames, SHOWN)}: of several frames or pages only the first is used."
    if manifest.skipped:
        reasons = [f"{each.id} ({each.reason})" for each in manifest.skipped]
        yield f"{amount(len(manifest.skipped), 'file')} skipped: {first_of(reasons, SHOWN)}."


def fractions_among(class_names: Sequence[str]) -> list[str]:
    """Names of classes that are numbers with a fraction, as measured values are."""
    return [name for name in class_names if _is_fraction(name)]


def _is_fraction(name: str) -> bool:
    return re.fullmatch(r"-?\d*\.\d+", name.strip()) is not None and float(name) % 1 != 0
