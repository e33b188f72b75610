"""What a section of a page is made of; ``templates/macros.html`` says how each looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from likewise.report.pages.chart import Chart, Charts


class Text(NamedTuple):
    """A paragraph."""

    text: str
    tone: str = "soft"
    """class in the style sheet: soft, verdict"""
    kind = "text"


class ListBlock(NamedTuple):
    """A list of sentences."""

    lines: Sequence[str]
    kind = "listing"


class Note(NamedTuple):
    """A list of sentences that the reader must not miss."""

    lines: Sequence[str]
    title: str = ""
    kind = "note"


class Commands(NamedTuple):
    """Commands or lines of code, each below what it is for."""

    pairs: Sequence[tuple[str, str]]
    kind = "commands"


class Cell(NamedTuple):
    """A number in a table, with its interval and a note below it."""

    value: str
    interval: str = ""
    note: str = ""
    tone: str = "value"
    """class of the value in the style sheet: value, good, bad"""


class TableBlock(NamedTuple):
    """A table whose first column names the row; wide ones scroll inside their own frame."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    css: str = ""
    """class in the style sheet"""
    kind = "table"


class TableColumn(NamedTuple):
    """An encoder or a run in the head of a table of scores."""

    css: str
    """class of its colour in the style sheet"""
    name: str


class Mark(NamedTuple):
    """A score on the strip from 0% to 100%, in percent of the strip's width."""

    css: str
    name: str
    low: float
    value: float
    high: float


class ScoreRow(NamedTuple):
    """One score of several encoders or runs."""

    name: str
    cells: Sequence[Cell | str]
    marks: Sequence[Mark]
    protocol: str
    """how it was measured"""


class ScoreTable(NamedTuple):
    """A row for each score, a column for each encoder or run, and below it how each was measured."""

    caption: str
    columns: Sequence[TableColumn]
    rows: Sequence[ScoreRow]
    differences: bool = False
    """whether the last cell of a row is the difference from the untrained encoder"""
    summary: str = "How each was measured"
    open: bool = False
    """whether the protocols are unfolded"""
    kind = "score_table"


class Fold(NamedTuple):
    """Blocks behind a summary."""

    summary: str
    items: Sequence[Block]
    open: bool = False
    kind = "fold"


Block = (
    str
    | Text
    | ListBlock
    | Note
    | Commands
    | TableBlock
    | ScoreTable
    | Fold
    | Chart
    | Charts
    | None
)
"""A plain string is a paragraph, `Markup` is HTML as `render` made it, None is nothing."""


class Section(NamedTuple):
    """A part of a page with an entry in the contents."""

    name: str
    """its id on the page"""
    title: str
    body: Sequence[Block]
