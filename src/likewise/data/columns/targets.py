"""Several classes an image, or numbers: what an image is labelled with where it is not one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from likewise.data.columns.column import Column, num_rows
from likewise.errors import LikewiseError

TARGETS = "targets"
"""the name of this column, in `Manifest.columns`"""

Task = Literal["classification", "multilabel", "regression"]
"""What labels are: one class an image, any number of classes, or numbers."""

TargetTask = Literal["multilabel", "regression"]

SEPARATOR = "|"
"""between the classes of one image in a cell of text"""


@dataclass(frozen=True, eq=False)
class TargetColumn:
    """Targets of N images: indicators of T classes (scikit-learn's multilabel-indicator format), or T numbers."""

    task: TargetTask
    names: tuple[str, ...]
    """of the T classes or numbers"""
    values: np.ndarray
    """float32 [N, T], rows of NaN where nothing is known; 0 or 1 for multilabel"""

    def __len__(self) -> int:
        return len(self.values)

    def present(self) -> np.ndarray:
        """Bool [N]: whose targets are known."""
        return np.asarray(~np.isnan(self.values).any(axis=1))

    def take(self, index: np.ndarray) -> TargetColumn:
        """The targets of some rows."""
        return TargetColumn(self.task, self.names, self.values[index])

    @classmethod
    def concat(cls, parts: Sequence[Column | int]) -> TargetColumn:
        """Several columns; a number means that many rows of which nothing is known.

        Raises:
            LikewiseError: one column has classes and another has numbers, or the numbers are others.
        """
        columns = [part for part in parts if isinstance(part, TargetColumn)]
        first = columns[0]
        names = first.names
        for column in columns[1:]:
            first._refuse_others(column)
            if column.names != names:
                names = tuple(sorted({*names, *column.names}))
        values = [_rows(part, names) for part in parts]
        return cls(first.task, names, np.concatenate(values))

    def _refuse_others(self, other: TargetColumn) -> None:
        """Classes may differ from part to part; numbers may not."""
        if other.task != self.task or (self.task == "regression" and other.names != self.names):
            raise LikewiseError(
                f"One part of the data has {self.task} targets ({', '.join(self.names)}), another has {other.task} "
                f"targets ({', '.join(other.names)}). Give parts with the same targets."
            )


def _rows(part: Column | int, names: tuple[str, ...]) -> np.ndarray:
    """A part's targets under the names of all parts: a class that a part does not know is in none of its images."""
    if not isinstance(part, TargetColumn):
        return np.full((num_rows(part), len(names)), np.nan, np.float32)
    values = np.zeros((len(part), len(names)), np.float32)
    values[:, [names.index(name) for name in part.names]] = part.values
    values[~part.present()] = np.nan
    return values


@dataclass(frozen=True, eq=False)
class TargetTransform:
    """Targets as rows of a batch: booleans for multilabel, numbers standardised on the training set for regression."""

    mean: np.ndarray
    """float32 [T]"""
    std: np.ndarray
    """float32 [T]"""

    @classmethod
    def fitted(cls, train: TargetColumn) -> TargetTransform:
        """The statistics of the training images."""
        if train.task == "multilabel":
            width = len(train.names)
            return cls(np.zeros(width, np.float32), np.ones(width, np.float32))
        mean = np.nanmean(train.values, axis=0)
        std = np.nanstd(train.values, axis=0)
        return cls(mean, np.where(std > 0, std, 1))

    def of(self, column: Column) -> TargetRows:
        """The rows of a column."""
        assert isinstance(column, TargetColumn)
        if column.task == "multilabel":
            return TargetRows(torch.from_numpy(column.values == 1))
        return TargetRows(torch.from_numpy((column.values - self.mean) / self.std))


@dataclass(frozen=True, eq=False)
class TargetRows:
    """Targets in memory."""

    values: Tensor
    """bool or float32 [N, T]"""

    def __len__(self) -> int:
        return len(self.values)

    def read(self, index: Tensor) -> Tensor:
        """int64 [B] -> [B, T]."""
        return self.values[index]


def targets_in(columns: Mapping[str, Column]) -> TargetColumn | None:
    """The target column of a manifest."""
    column = columns.get(TARGETS)
    return column if isinstance(column, TargetColumn) else None


def multilabel_targets(
    labels: Sequence[Any], source: str, names: Sequence[str] = ()
) -> TargetColumn:
    """Classes of each image as indicators.

    Args:
        labels: for each image a list of class names or class numbers, a text with ``|`` between class names, or None,
            NaN or "" where nothing is known. An empty list is an image of no class.
        source: what errors call it.
        names: class names, where the labels are numbers of named classes.

    Raises:
        LikewiseError: no image has a class, or a class is none of the names.
    """
    sets = [_class_set(label, source) for label in labels]
    found = set().union(*(classes for classes in sets if classes is not None))
    if not found:
        raise LikewiseError(
            f"{source}: no image has a class. Write the classes of an image as cat{SEPARATOR}dog."
        )
    if names and all(name.isdecimal() and int(name) < len(names) for name in found):
        for row, classes in enumerate(sets):
            if classes is not None:
                sets[row] = {names[int(name)] for name in classes}
        found = set(names)
    are_numbers = all(name.isdecimal() for name in found)
    in_order = sorted(found)  # 01 and 1 have one value, and a set has no order of its own
    if are_numbers:
        in_order.sort(key=int)
    values = np.zeros((len(sets), len(in_order)), np.float32)
    for row, classes in enumerate(sets):
        if classes is None:
            values[row] = np.nan
        else:
            values[row, [in_order.index(name) for name in classes]] = 1
    return TargetColumn("multilabel", tuple(in_order), values)


def _class_set(label: Any, source: str) -> set[str] | None:
    """The classes of one image; None where nothing is known."""
    if isinstance(label, str):
        classes = {part.strip() for part in label.split(SEPARATOR) if part.strip()}
        return classes or None
    if label is None or (isinstance(label, float) and np.isnan(label)):
        return None
    if isinstance(label, (list, tuple, set, frozenset, np.ndarray)):
        return {str(part) for part in label}
    if isinstance(label, (int, np.integer)):
        return {str(label)} if label >= 0 else None
    raise LikewiseError(
        f"{source}: {label!r} is no set of classes. Allowed: a list of names, or cat{SEPARATOR}dog."
    )


def indicator_targets(values: np.ndarray, source: str) -> TargetColumn:
    """Indicators [N, T] of T classes that have no names; rows that hold NaN or -1 are unknown.

    Raises:
        LikewiseError: a value is none of 0, 1, -1 and NaN.
    """
    table = values.astype(np.float32)
    unknown = np.isnan(table) | (table == -1)
    wrong = table[~unknown & (table != 0) & (table != 1)]
    if wrong.size:
        raise LikewiseError(
            f"{source}: labels of shape {list(values.shape)} are indicators of classes, 0 or 1, but {wrong[0]:g} is "
            f"among them. For numbers to predict give task='regression' (--task regression)."
        )
    table[unknown.any(axis=1)] = np.nan
    names = tuple(str(number) for number in range(table.shape[1]))
    return TargetColumn("multilabel", names, table)


def regression_targets(labels: Sequence[Any], source: str) -> TargetColumn:
    """Numbers of each image; None, NaN and "" are unknown.

    Args:
        labels: a number for each image, or as many numbers for each as for any other.
        source: what errors call it.

    Raises:
        LikewiseError: a label is no finite number, or images have different counts of numbers.
    """
    rows = [_numbers(label, source) for label in labels]
    widths = {len(row) for row in rows if row is not None}
    if len(widths) != 1:
        counts = ", ".join(map(str, sorted(widths))) or "0"
        raise LikewiseError(
            f"{source}: every image needs as many numbers as any other; found {counts} an image."
        )
    width = widths.pop()
    unknown = [np.nan] * width
    values = np.array([unknown if row is None else row for row in rows], np.float32)
    names = ("target",) if width == 1 else tuple(f"target {i}" for i in range(width))
    return TargetColumn("regression", names, values)


def _numbers(label: Any, source: str) -> list[float] | None:
    """The numbers of one image; None where one is not known."""
    if label is None or (isinstance(label, str) and not label.strip()):
        return None
    parts = list(label) if isinstance(label, (list, tuple, np.ndarray)) else [label]
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        raise LikewiseError(
            f"{source}: {label!r} is no number, but the task is regression. Leave the label blank where there is none."
        ) from None
    if any(np.isinf(number) for number in numbers):
        raise LikewiseError(
            f"{source}: {label!r} is not finite, and a regression needs finite numbers."
        )
    return None if any(np.isnan(number) for number in numbers) else numbers
