"""Which columns of a table hold what, where their names do not say, and what the labels are."""

from __future__ import annotations

from typing import Literal, NamedTuple

from likewise.data.columns.targets import Task
from likewise.errors import LikewiseError

MissingLabels = Literal["unlabelled", "class"]
"""What NaN, None, null, NA and N/A mean in a column of labels: no label, or a class of that name."""


class ColumnNames(NamedTuple):
    """Columns by name, or in text files by number from 1; None: the usual name."""

    label: str | None = None
    """of labels; usually label, labels, or the column that the schema marks as classes"""
    group: str | None = None
    """of what belongs together; usually group"""
    task: Task = "classification"
    """what the labels are"""
    path: str | None = None
    """of the paths of images, in text files; usually image_path"""
    caption: str | None = None
    """of captions, in text files; usually caption"""
    missing_labels: MissingLabels = "unlabelled"
    """what NaN, None, null, NA and N/A mean as a label"""

    def refuse(self, source: str) -> None:
        """Refuse any that was named.

        Raises:
            LikewiseError: a column was named, of a source that has none.
        """
        named = {
            "path": self.path,
            "label": self.label,
            "group": self.group,
            "caption": self.caption,
        }
        for what, name in named.items():
            if name is not None:
                option = "captions" if what == "caption" else "labels"
                raise LikewiseError(
                    f"--{what}-column {name} was given, but {source} has no named columns: only tables, Parquet files, "
                    f"and files of labels or captions do. Give a CSV that has this column with --{option}, or leave "
                    f"--{what}-column out."
                )

    def refuse_text_columns(self, source: str) -> None:
        """Refuse columns that text files alone have.

        Raises:
            LikewiseError: one was named, of a source that is no text file.
        """
        for what, name in (("path", self.path), ("caption", self.caption)):
            if name is not None:
                raise LikewiseError(
                    f"--{what}-column {name} was given, but it names a column of a CSV, and {source} is none."
                )


USUAL_COLUMNS = ColumnNames()
"""none named"""
