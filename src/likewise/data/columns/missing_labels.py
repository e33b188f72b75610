"""What other programs write for a missing label: one rule for every source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.columns.column_names import MissingLabels
from likewise.data.columns.targets import Task

NO_VALUE = frozenset({"nan", "na", "n/a", "none", "null", "<na>", "#n/a"})
"""What other programs write for a missing value, in lower case."""

CLASS_OR_NO_VALUE = frozenset({"?", "unknown", "unlabeled", "unlabelled"})
"""What may be a class as well, so it is read as one, and the doctor says so."""


WHERE_MINUS_ONE_IS_A_CLASS = (
    "-1 means no label; where it is a class, write another number, for instance 0"
)
"""What is said where the classes are whole numbers, among which -1 may have been meant as one."""


class Reading(NamedTuple):
    """How the cells of a column of labels are read."""

    missing: MissingLabels = "unlabelled"
    """what `NO_VALUE` means"""
    task: Task = "classification"
    declared: Collection[str] = ()
    """class names that the source lists, which are classes whatever they are called"""

    def is_no_label(self, text: str) -> bool:
        """Whether a text means that there is no label."""
        plain = text.strip()
        if plain in self.declared:
            return False
        # Where it may be a number like any other.
        is_minus_one = plain == str(UNLABELLED) and self.task != "regression"
        return not plain or is_minus_one or (is_no_value(plain) and self._drops_no_value())

    def notes(self, found: Mapping[str, int]) -> list[str]:
        """What is said of texts that may mean a missing value.

        Args:
            found: how many there are of each.
        """
        listed = ", ".join(f"{count:,} {name!r}" for name, count in sorted(found.items()))
        if not listed or self.task == "regression":
            return []
        if self.missing == "class":
            return [f"{listed} taken as names of classes (--missing-labels class)"]
        return [
            f"{listed} taken as no label. Where these are names of classes: --missing-labels class"
        ]

    def _drops_no_value(self) -> bool:
        return self.missing == "unlabelled" or self.task == "regression"


def is_no_value(text: str) -> bool:
    """Whether a text is what other programs write for a missing value."""
    return text.strip().casefold() in NO_VALUE


def minus_one_may_be_a_class(names: Collection[str]) -> bool:
    """Whether the classes are whole numbers, as those of a binary problem that is written as -1 and 1."""
    return bool(names) and all(name.strip().isdecimal() for name in names)


def hint_on_minus_one(only: str, labels: Tensor) -> str:
    """What to write where the only class is a number, and -1 may have been meant as the other; else nothing.

    Args:
        only: the name of the class.
        labels: int64 [N], of which some are -1 where an image has none.
    """
    is_bare = bool((labels == UNLABELLED).any())
    return f" {WHERE_MINUS_ONE_IS_A_CLASS}." if is_bare and minus_one_may_be_a_class([only]) else ""


def named_as_missing(names: Sequence[str]) -> list[str]:
    """Class names that other programs write for a missing value."""
    return [name for name in names if name.strip().casefold() in NO_VALUE | CLASS_OR_NO_VALUE]


def with_none_for_missing(
    labels: Sequence[Any], reading: Reading
) -> tuple[list[Any], tuple[str, ...]]:
    """The labels with None where there is none, and what is said of those that were changed.

    Missing are None, NaN, pandas' NA, blanks, -1, and texts that `NO_VALUE` lists.
    """
    found: Counter[str] = Counter()
    kept = list[Any]()
    for label in labels:
        if isinstance(label, str):
            if is_no_value(label) and label.strip() not in reading.declared:
                found[label.strip()] += 1
            kept.append(None if reading.is_no_label(label) else label)
        else:
            kept.append(None if is_null(label) else label)
    return kept, tuple(reading.notes(found))


def is_null(value: Any) -> bool:
    """Whether a value is None, NaN, or pandas' NA or NaT."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas' NA is neither true nor false; nor is an array
        return type(value).__name__ == "NAType"
