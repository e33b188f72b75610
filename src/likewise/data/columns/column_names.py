"""Which columns of a table or of Parquet files hold what, where their names do not say, and what the labels are."""

from __future__ import annotations

from typing import NamedTuple

from likewise.data.columns.targets import Task
from likewise.errors import LikewiseError


class ColumnNames(NamedTuple):
    """Columns by name; None: the usual name."""

    label: str | None = None
    """of labels; usually label, labels, or the column that the schema marks as classes"""
    group: str | None = None
    """of what belongs together; usually group"""
    task: Task = "classification"
    """what the labels are"""

    def refuse(self, source: str) -> None:
        """Refuse any that was named.

        Raises:
            LikewiseError: a column was named, of a source that has none.
        """
        for what, name in (("label", self.label), ("group", self.group)):
            if name is not None:
                raise LikewiseError(
                    f"--{what}-column {name} was given, but {source} has no named columns: only tables and Parquet "
                    f"files do. Give a CSV of image_path,label with --labels; it may have a column {what} too."
                )


USUAL_COLUMNS = ColumnNames()
"""none named"""
