"""Labels as a source has them: one class an image, several, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.columns.column import Column
from likewise.data.columns.column_names import MissingLabels
from likewise.data.columns.missing_labels import Reading, with_none_for_missing
from likewise.data.columns.targets import (
    TARGETS,
    TargetColumn,
    Task,
    indicator_targets,
    multilabel_targets,
    regression_targets,
)
from likewise.errors import LikewiseError


class Labels(NamedTuple):
    """What is known of N images."""

    numbers: Tensor
    """int64 [N], -1 where there is no class or there are several"""
    class_names: tuple[str, ...]
    columns: dict[str, Column]
    """`TARGETS`, where images have several classes or numbers"""
    notes: tuple[str, ...] = ()
    """what was taken for no label"""


def read_labels(
    labels: Any,
    source: str,
    names: Sequence[str] = (),
    task: Task = "classification",
    missing: MissingLabels = "unlabelled",
) -> Labels:
    """Labels of any container.

    A two-dimensional array, and lists in a column, are several classes an image also where the task is not named.

    Args:
        labels: one for each image.
        source: what errors call it.
        names: class names, where the source has them.
        task: what the labels are.
        missing: what NaN, NA, N/A, None and null in text mean.

    Raises:
        LikewiseError: labels that do not fit the task.
    """
    if getattr(labels, "ndim", 1) not in (1, 2):
        raise LikewiseError(
            f"{source}: labels are [N], or [N, classes]; an array {tuple(labels.shape)} was given."
        )
    if (
        task != "regression"
        and isinstance(labels, (np.ndarray, Tensor))
        and labels.ndim == 2
        and labels.shape[1] > 1
    ):
        return _targets(indicator_targets(np.asarray(labels), source))
    values, told = with_none_for_missing(listed(labels), Reading(missing, task, names))
    notes = tuple(f"{source}: {note}" for note in told)
    if task == "regression":
        return _targets(regression_targets(values, source), notes)
    several = any(isinstance(label, (list, tuple, set, np.ndarray)) for label in values)
    if task == "multilabel" or several:
        _refuse_ambiguous(values, source)
        return _targets(multilabel_targets(values, source, names), notes)
    numbers, class_names = numbered(values, names, source)
    return Labels(numbers, class_names, {}, notes)


def _targets(column: TargetColumn, notes: tuple[str, ...] = ()) -> Labels:
    return Labels(torch.full((len(column),), UNLABELLED), (), {TARGETS: column}, notes)


def _refuse_ambiguous(values: Sequence[Any], source: str) -> None:
    """Lists of one length that hold 0 and 1 alone could be indicators, or numbers of classes."""
    lists = [label for label in values if isinstance(label, (list, tuple))]
    held = {value for label in lists for value in label}
    if (
        len(lists) < 2
        or len({len(label) for label in lists}) > 1
        or len(lists[0]) < 2
        or not held <= {0, 1}
    ):
        return
    raise LikewiseError(
        f"{source}: lists of 0 and 1 could be indicators of classes, or numbers of the classes 0 and 1. Give "
        f"indicators as an array [N, classes], or class names instead of numbers."
    )


def numbered(
    labels: Sequence[Any], names: Sequence[str], source: str
) -> tuple[Tensor, tuple[str, ...]]:
    """Labels as class numbers, and the class names.

    Whole numbers 0..C-1 stay what they are. Other numbers, and names, are numbered in sorted order, and their name is
    the number as it was given. None, NaN, "" and -1 are unlabelled.

    Raises:
        LikewiseError: a label below -1, a fraction, or above the names that there are.
    """
    plain = [_plain(label, source) for label in labels]
    present = {label for label in plain if label is not None}
    if names and all(isinstance(label, int) and 0 <= label < len(names) for label in present):
        number: dict[Any, int] = {i: i for i in range(len(names))}
    elif names and not all(label in names for label in present):
        bad = next(label for label in present if label not in names)
        raise LikewiseError(
            f"{source}: the label {bad!r} is none of the {amount(len(names), 'class', 'classes')} that are named."
        )
    elif names:
        number = {name: i for i, name in enumerate(names)}
    else:
        in_order = sorted(present, key=lambda label: (isinstance(label, str), label))
        number = {label: i for i, label in enumerate(in_order)}
        names = [str(label) for label in in_order]
    values = [UNLABELLED if label is None else number[label] for label in plain]
    return torch.tensor(values, dtype=torch.int64), tuple(names)


def _plain(label: Any, source: str) -> int | str | None:
    """A label as a whole number, a name, or None."""
    if label is None or label == "" or label != label or label == UNLABELLED:
        return None
    if isinstance(label, str):
        return label
    try:
        whole = int(label)
    except (TypeError, ValueError):
        whole = None
    if whole is None or whole != label or whole < 0:
        raise LikewiseError(
            f"{source}: {label!r} is no label. Labels are whole numbers from 0, names, or -1 for none."
        )
    return whole


def listed(labels: Any) -> list[Any]:
    """Labels of any container as a list."""
    flat = labels.tolist() if isinstance(labels, (np.ndarray, Tensor)) else list(labels)
    # Some published sets keep labels as a column [N, 1].
    return [label[0] if isinstance(label, list) and len(label) == 1 else label for label in flat]
