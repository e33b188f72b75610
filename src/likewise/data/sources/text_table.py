"""Rows and columns of text, however they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar", " ": "space"}
"""What may stand between two columns, the usual first. Blanks count only where nothing else divides the lines."""

BY_NAME = "name"
"""What stands for a separator where columns have names, as in a table of records."""

COMMENT = "#"
"""What lines of remarks above a table begin with."""

ENDINGS = (".csv", ".tsv")
RECORDS = (".jsonl", ".ndjson", ".json", ".parquet")
SPREADSHEETS = (".xlsx", ".xls", ".ods")
"""Endings of text tables, of tables of records, and of those that must be saved as text first."""

SAMPLE_ROWS = 1000
"""Rows of a file that are looked at to find its columns."""


@dataclass(frozen=True)
class Layout:
    """How a file is divided into cells by one separator."""

    separator: str
    """one of `SEPARATORS`; "" where each line is one cell; `BY_NAME`"""
    width: int
    """columns"""
    sample: list[list[str]]
    """its first rows, the heading included where there is one; cells without blanks around them"""

    @property
    def separator_name(self) -> str:
        """The separator in words."""
        return SEPARATORS.get(self.separator, self.separator)

    @property
    def division(self) -> str:
        """What tells the columns apart, in words."""
        if self.separator == BY_NAME:
            return "columns by name"
        return f"columns divided by {self.separator_name}" if self.separator else "one column"


class TextTable(Protocol):
    """Rows and columns of text, however they are stored."""

    @property
    def file(self) -> Path:
        """Where they come from."""
        ...

    @property
    def encoding(self) -> str:
        """Of the text, or the kind of file."""
        ...

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Those that are possible."""
        ...

    @property
    def comments(self) -> int:
        """Lines of remarks above the table, which are left out."""
        ...

    def columns(self, layout: Layout, wanted: Sequence[int], has_heading: bool) -> list[list[str]]:
        """Some columns of all rows; rows whose cells in them are blank are left out."""
        ...

    def lines_of(
        self, layout: Layout, wanted: Sequence[int], has_heading: bool, rows: Sequence[int]
    ) -> list[int]:
        """The lines, from 1, of some of the rows that `columns` gives."""
        ...
