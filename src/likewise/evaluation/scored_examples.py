"""The examples that ``likewise.evaluate`` scores on, with their labels and their parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from likewise.counts import amount
from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames
from likewise.data.data_settings import DataSettings
from likewise.data.encoder_range import refuse_unused_range
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import ArrayPixels
from likewise.data.sources.open import open_for_encoder, open_manifest
from likewise.data.sources.read_labels import listed, numbered
from likewise.errors import LikewiseError
from likewise.evaluation.subjects import FeatureSubject, NetworkSubject, Subject

HELD_OUT = DataSettings.test_fraction
"""Share of each class that is measured on where neither the data nor the caller says what is, as in training."""


def open_examples(
    subject: Subject,
    data: Any,
    labels: Any,
    test: Any,
    given: tuple[float, float] | None = None,
    columns: ColumnNames = USUAL_COLUMNS,
) -> Manifest:
    """The examples with labels and, where they bring some, splits."""
    _refuse_rows(test)
    if data is not None:
        other = test if _is_data(test) else None
        if isinstance(subject, NetworkSubject) and subject.of_run:
            return open_for_encoder(
                data,
                subject.pixel_range,
                given or subject.given_range,
                labels=labels,
                test_data=other,
                columns=columns,
            )
        manifest = open_manifest(data, labels, test_data=other, columns=columns, pixel_range=given)
        refuse_unused_range(manifest, given)
        return manifest
    if isinstance(subject, NetworkSubject):
        raise LikewiseError(
            "evaluate() was given an encoder but no images. Give some: evaluate(encoder, 'photos/')."
        )
    if _is_data(test):
        raise LikewiseError(
            "evaluate() was given features and test data. Give both parts as features: "
            "evaluate((train, test), labels=(train_labels, test_labels))."
        )
    return _manifest_of_rows(subject, labels)


def _is_data(test: Any) -> bool:
    """Whether ``test`` is a source of images, and neither a share nor a mask."""
    return test is not None and not isinstance(test, float) and _mask(test) is None


def _refuse_rows(test: Any) -> None:
    """Refuse rows by their numbers, and a mask of 0 and 1, which cannot be told from them."""
    if getattr(test, "ndim", 0) == 1 and _mask(test) is None:
        kind = str(test.dtype).removeprefix("torch.")
        raise LikewiseError(
            f"test= is a vector of {kind}; a mask is bool [N], True where a row is measured on. For rows by their "
            f"numbers give numpy.isin(numpy.arange(N), rows); for 0 and 1 give test == 1."
        )


def _mask(test: Any) -> np.ndarray | None:
    """Bool [N], where ``test`` is that."""
    if isinstance(test, (str, Path, float, Manifest)) or test is None:
        return None
    if isinstance(test, (tuple, list)) and not all(isinstance(each, bool) for each in test):
        return None
    values = np.asarray(test)
    return values if values.dtype == np.bool_ and values.ndim == 1 else None


def _manifest_of_rows(subject: FeatureSubject, labels: Any) -> Manifest:
    """The rows of a matrix as examples; each has one grey pixel, for they have no picture."""
    count = len(subject.vectors)
    labels = subject.labels if labels is None else labels
    if labels is not None and subject.train_rows is not None:
        labels = _joined(labels, subject.train_rows, count - subject.train_rows)
    given = [None] * count if labels is None else listed(labels)
    if len(given) != count:
        raise LikewiseError(
            f"{amount(count, 'row')} of features, but {amount(len(given), 'label')}. Give one for each, -1 for none."
        )
    numbers, names = numbered(given, (), "labels")
    splits = np.full(count, "train")
    if subject.train_rows is not None:
        splits = np.where(np.arange(count) < subject.train_rows, "train", "test")
    pixels = ArrayPixels(np.zeros((count, 1, 1), np.uint8))
    ids = [str(row) for row in range(count)]
    return Manifest("features", pixels, numbers, splits, ids, names)


def _joined(labels: Any, train: int, test: int) -> list[Any]:
    """Labels of both parts in one list."""
    if not isinstance(labels, (tuple, list)) or len(labels) != 2:
        raise LikewiseError(
            "Two matrices were given, but one list of labels. Give labels=(train_labels, test_labels)."
        )
    first = listed(labels[0])
    second = listed(labels[1])
    if (len(first), len(second)) != (train, test):
        raise LikewiseError(
            f"{train:,} training and {amount(test, 'test row')} of features, but {len(first):,} and "
            f"{amount(len(second), 'label')}. Give one for each row, -1 for none."
        )
    return first + second


def with_parts(manifest: Manifest, test: Any, seed: int, needs_labels: bool) -> Manifest:
    """The examples with a training and a test part."""
    mask = _mask(test)
    has_test = bool((manifest.splits == "test").any())
    if mask is not None:
        manifest = _parted_by(manifest, mask)
    elif isinstance(test, float):
        manifest = _with_share(manifest, test, seed)
    elif test is None and needs_labels and manifest.labelled() and not has_test:
        manifest = manifest.hold_out(HELD_OUT, seed)
    if not (manifest.splits == "train").any():
        raise LikewiseError(
            "All examples are in the test part, so there is nothing to learn from. Give test=0.2."
        )
    return manifest


def _parted_by(manifest: Manifest, mask: np.ndarray) -> Manifest:
    """The examples with those of a mask, bool [N], as test part."""
    if len(mask) != len(manifest):
        raise LikewiseError(
            f"test= has {amount(len(mask), 'entry', 'entries')}, but there are {amount(len(manifest), 'example')}."
        )
    return replace(manifest, splits=np.where(mask, "test", "train"))


def _with_share(manifest: Manifest, share: float, seed: int) -> Manifest:
    """The examples with a share of each class as test part, whatever parts they had."""
    if not 0 < share < 1:
        raise LikewiseError(
            f"test={share} was given; a share is between 0 and 1, for instance test=0.2."
        )
    together = replace(manifest, splits=np.full(len(manifest), "train"))
    return together.hold_out(share, seed)
