"""The rows of a CSV of labels or captions: read once, checked, with what was taken for what."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.missing_labels import (
    WHERE_MINUS_ONE_IS_A_CLASS,
    Reading,
    is_no_value,
    minus_one_may_be_a_class,
)
from likewise.data.file_names import written_name
from likewise.data.sources.arrangement import SPLIT_NAMES
from likewise.data.sources.delimited_text import DelimitedText
from likewise.data.sources.headings import IsImage
from likewise.data.sources.label_columns import LabelColumns, Needed, label_columns
from likewise.data.sources.path_matching import Matches
from likewise.data.sources.text_encoding import EIGHT_BIT, ENCODING_NAMES
from likewise.data.sources.text_table import RECORDS, TextTable
from likewise.errors import LikewiseError

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_MINUS_ONE = re.compile(r"-1(\.0+)?")
_WHOLE = re.compile(r"-?\d+(\.0+)?")


@dataclass(frozen=True)
class LabelRows:
    """N rows. Columns that the file does not have are None; cells are "" where there is nothing."""

    text: TextTable
    columns: LabelColumns
    paths: list[str]
    labels: list[str] | None
    captions: list[str] | None
    splits: list[str] | None
    """train, val or test"""
    groups: list[str] | None
    notes: tuple[str, ...]
    """what was changed"""

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def file(self) -> Path:
        """Where they come from."""
        return self.text.file

    def lines(self, rows: Sequence[int]) -> list[int]:
        """The lines of the file, from 1, at which some rows begin."""
        return _lines(self.text, self.columns, rows)

    def describe(self, matches: Matches) -> str:
        """What was taken for what, and how many rows name an image, for the first screen."""
        named = sum(path in matches.positions for path in self.paths)
        encoding = ENCODING_NAMES.get(self.text.encoding, self.text.encoding)
        remarks = amount(self.text.comments, "line") if self.text.comments else ""
        above = f"; {remarks} of remarks (#) above the table left out" if remarks else ""
        return (
            f"{self.file}: {self.columns.describe()}, {encoding}{above}; {named:,} of {amount(len(self), 'row')} name "
            f"an image{matches.note()}"
        )

    def facts(self, row: int) -> str:
        """What a row says of its image, in words."""
        facts = list[str]()
        if self.labels is not None:
            facts.append(f"label {self.labels[row] or 'blank'!r}")
        for column in (self.splits, self.groups):
            if column is not None and column[row]:
                facts.append(column[row])
        return " ".join(facts)


def read_label_rows(
    file: Path,
    given: ColumnNames,
    is_image: IsImage,
    needed: Needed,
    is_name: Callable[[str], bool],
) -> LabelRows:
    """Read a CSV of labels or captions.

    Args:
        file: text with one row an image, or a caption.
        given: columns that were named, and what labels are.
        is_image: whether a path means an image by any rule.
        needed: what the file is read for.
        is_name: whether a path is exactly the name of an image.

    Raises:
        LikewiseError: it cannot be read, its columns are not clear, or a row has no path or an unknown split.
    """
    text = _open(file)
    columns = label_columns(text, given, is_image, needed)
    cells = _cells(text, columns)
    paths = _paths(text, columns, cells[columns.path], is_name)
    labels, notes = _labels(text, columns, cells, given)
    splits = _splits(text, columns, cells)
    if splits is not None:
        is_hidden = [split == "unlabelled" for split in splits]
        splits = [
            "train" if hidden else split for split, hidden in zip(splits, is_hidden, strict=True)
        ]
        if labels is not None:
            labels = [
                "" if hidden else label for label, hidden in zip(labels, is_hidden, strict=True)
            ]
    return LabelRows(
        text=text,
        columns=columns,
        paths=paths,
        labels=labels,
        captions=cells[columns.caption] if columns.caption is not None else None,
        splits=splits,
        groups=_groups(columns, cells),
        notes=notes,
    )


def _open(file: Path) -> TextTable:
    if file.suffix.lower() not in RECORDS:
        return DelimitedText.open(file)
    from likewise.data.sources.record_table import RecordTable  # pyarrow is slow to import

    return RecordTable.open(file)


def _wanted(columns: LabelColumns) -> list[int]:
    roles = (columns.path, columns.label, columns.caption, columns.split, columns.group)
    return sorted({column for column in roles if column is not None})


def _cells(text: TextTable, columns: LabelColumns) -> dict[int, list[str]]:
    wanted = _wanted(columns)
    read = text.columns(columns.layout, wanted, columns.has_heading)
    if not read[0]:
        raise LikewiseError(f"The file {text.file} has no line below its heading.")
    return dict(zip(wanted, read, strict=True))


def _lines(text: TextTable, columns: LabelColumns, rows: Sequence[int]) -> list[int]:
    return text.lines_of(columns.layout, _wanted(columns), columns.has_heading, rows)


def _paths(
    text: TextTable, columns: LabelColumns, cells: list[str], is_name: Callable[[str], bool]
) -> list[str]:
    """The paths. Of a file in an 8-bit encoding they may be names that are not UTF-8."""
    paths = [cell.strip() for cell in cells]
    if "" in paths:
        line = _lines(text, columns, [paths.index("")])[0]
        raise LikewiseError(
            f"{text.file}, line {line}: no path. Every line names an image; its label may be blank."
        )
    if text.encoding not in EIGHT_BIT:
        return paths
    found = list[str]()
    for path in paths:
        as_bytes = path.encode(text.encoding).decode("utf-8", "surrogateescape")
        raw = written_name(as_bytes)
        is_raw = raw != path and not is_name(path) and is_name(raw)
        found.append(raw if is_raw else path)
    return found


def _labels(
    text: TextTable, columns: LabelColumns, cells: dict[int, list[str]], given: ColumnNames
) -> tuple[list[str] | None, tuple[str, ...]]:
    """The labels, "" where there is none, and notes on those that were changed."""
    if columns.label is None:
        return None, ()
    raw = cells[columns.label]
    _refuse_swallowed_lines(text, columns, raw)
    distinct = set(raw)
    reading = Reading(given.missing_labels, given.task)
    meant = {cell: "" if reading.is_no_label(cell) else cell.strip() for cell in distinct}
    notes = _notes_on_blanks(distinct)
    missing = {cell for cell in distinct if is_no_value(cell)}
    notes += reading.notes(Counter(cell.strip() for cell in raw if cell in missing))
    if given.task == "classification":
        meant, found = _without_decimals(meant)
        notes += found + _notes_on_minus_one(raw, meant)
    if given.task == "regression" and columns.layout.separator in ";\t":
        meant, found = _without_decimal_comma(meant, text.file)
        notes += found
    return [meant[cell] for cell in raw], tuple(f"{text.file}: {note}" for note in notes)


def _notes_on_blanks(cells: set[str]) -> list[str]:
    """What is said where a label stands both with and without blanks around it."""
    spaced = {cell.strip() for cell in cells if cell != cell.strip()} & cells
    if not spaced:
        return []
    some = ", ".join(map(repr, sorted(spaced)[:5]))
    return [f"labels with blanks around them are taken without: {some}"]


def _notes_on_minus_one(raw: list[str], meant: dict[str, str]) -> list[str]:
    """What is said where the other labels are whole numbers, so that -1 may have been meant as a class."""
    known = {label for label in meant.values() if label}
    count = sum(_MINUS_ONE.fullmatch(cell.strip()) is not None for cell in raw)
    if not count or not minus_one_may_be_a_class(known):
        return []
    return [f"{amount(count, 'row')} with the label -1: {WHERE_MINUS_ONE_IS_A_CLASS}"]


def _without_decimal_comma(meant: dict[str, str], file: Path) -> tuple[dict[str, str], list[str]]:
    """Labels by cell with a decimal point, and what is said of it."""
    if not any(map(_DECIMAL_COMMA.fullmatch, meant.values())):
        return meant, []
    if any("." in label for label in meant.values()):
        raise LikewiseError(
            f"{file}: some labels have a decimal comma and others a point. Write 0.5 in all."
        )
    read = {cell: label.replace(",", ".") for cell, label in meant.items()}
    return read, ["labels are taken to have a decimal comma: 0,5 is one half"]


def _without_decimals(meant: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Labels by cell, 1.0 being the class 1 where all are whole numbers, and what is said of it.

    Other programs write whole numbers so in a column of which some cells are blank.
    """
    labels = {label for label in meant.values() if label}
    pointed = sorted(label for label in labels if "." in label)
    if not pointed or not all(map(_WHOLE.fullmatch, labels)):
        return meant, []
    whole = {cell: label.partition(".")[0] for cell, label in meant.items()}
    read = {cell: "" if label == str(UNLABELLED) else label for cell, label in whole.items()}
    return read, [
        f"labels are whole numbers: {pointed[0]} is read as {pointed[0].partition('.')[0]}"
    ]


def _refuse_swallowed_lines(text: TextTable, columns: LabelColumns, labels: list[str]) -> None:
    """Refuse a label that holds whole lines: a quotation mark was closed too late."""
    separator = columns.layout.separator
    for row, label in enumerate(labels):
        if "\n" in label and separator and any(separator in line for line in label.split("\n")[1:]):
            line = _lines(text, columns, [row])[0]
            raise LikewiseError(
                f"{text.file}, line {line}: a label with {amount(label.count(chr(10)), 'more line')} in it. A "
                f"quotation mark is opened in this line and closed in another; close it in this one."
            )


def _splits(
    text: TextTable, columns: LabelColumns, cells: dict[int, list[str]]
) -> list[str] | None:
    """The splits by the names that are used here; unlabelled for training images without label."""
    if columns.split is None:
        return None
    raw = [cell.strip().lower() for cell in cells[columns.split]]
    for row, split in enumerate(raw):
        if split and split not in SPLIT_NAMES:
            line = _lines(text, columns, [row])[0]
            raise LikewiseError(
                f"{text.file}, line {line}: the split {split!r} is none of train, val, test."
            )
    return [SPLIT_NAMES.get(split, "") for split in raw]


def _groups(columns: LabelColumns, cells: dict[int, list[str]]) -> list[str] | None:
    if columns.group is None:
        return None
    return ["" if is_no_value(cell) else cell.strip() for cell in cells[columns.group]]
