"""Which column of a table in memory or of Parquet files holds the labels, where none is named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LABEL_COLUMNS = ("label", "labels", "class", "target")
"""what a column of labels may be called, the first that is there"""

ClassNames = Mapping[str, Sequence[str]]
"""The class names of columns that have some."""


def usual_label_column(names: Sequence[str], class_names: ClassNames) -> str | None:
    """The column of labels: by name, else one whose classes have names."""
    usual = [name for name in LABEL_COLUMNS if name in names]
    with_classes = [name for name in names if class_names.get(name)]
    return next(iter(usual + with_classes), None)


def label_column_note(
    source: str, label: str | None, others: Sequence[str], class_names: ClassNames
) -> list[str]:
    """A note where labels could stand in a column that was not read.

    Args:
        source: what to call the table.
        label: the column that was read, where there is one.
        others: columns that were read for nothing.
        class_names: the classes of columns that name theirs.
    """
    if label is None and others:
        return [
            f"{source}: nothing is labelled, since no column is called as labels are; not read: "
            f"{', '.join(others[:8])}. Where one of them holds the labels: --label-column {others[0]}, in Python "
            f"label_column={others[0]!r}"
        ]
    rivals = [name for name in others if class_names.get(name) or name in LABEL_COLUMNS]
    if not rivals:
        return []
    return [
        f"{source}: labels from {label!r}, not from {' or '.join(map(repr, rivals))}. Another choice: --label-column "
        f"{rivals[0]}, in Python label_column={rivals[0]!r}"
    ]
