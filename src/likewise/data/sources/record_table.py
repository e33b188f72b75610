"""Tables of records, JSON, JSON lines and Parquet, as columns of text like those of a CSV."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from likewise.data.columns.parquet_reader import ParquetReader
from likewise.data.columns.parquet_schema import class_names_of, holds_images
from likewise.data.sources.text_table import BY_NAME, SAMPLE_ROWS, Layout
from likewise.errors import LikewiseError

SEVERAL = "|"
"""What stands between several classes of an image."""

ALLOWED = (
    'a JSON file is a list of objects, [{"path": "a.jpg", "label": "cat"}], or an object of labels by path, '
    '{"a.jpg": "cat"}; in JSON lines (.jsonl) each line is such an object'
)


@dataclass(frozen=True)
class RecordTable:
    """A file of records; what `likewise.data.sources.delimited_text.DelimitedText` is for a text file."""

    file: Path
    encoding: str
    """the kind of file, for the first screen"""
    layouts: tuple[Layout, ...]
    """one: that of the columns, the heading among its rows"""
    cells: list[list[str]]
    """the columns"""
    comments: int = 0
    """such a file has none"""

    @classmethod
    def open(cls, file: Path) -> RecordTable:
        """Read a file.

        Raises:
            LikewiseError: it cannot be read, holds something else, or no record.
        """
        kind, read = READERS[file.suffix.lower()]
        columns = read(file)
        if not columns or not any(columns.values()):
            raise LikewiseError(f"{file} holds no record: {ALLOWED}.")
        cells = []
        for values in columns.values():
            cells.append([_text(value, file) for value in values])
        sample = [list(columns)]
        for row in itertools.islice(zip(*cells, strict=True), SAMPLE_ROWS):
            sample.append([cell.strip() for cell in row])
        return cls(file, kind, (Layout(BY_NAME, len(columns), sample),), cells)

    def columns(self, layout: Layout, wanted: Sequence[int], has_heading: bool) -> list[list[str]]:
        """Some columns of all records; those whose cells in them are blank are left out."""
        filled = self._filled(wanted)
        return [list(itertools.compress(self.cells[column], filled)) for column in wanted]

    def lines_of(
        self, layout: Layout, wanted: Sequence[int], has_heading: bool, rows: Sequence[int]
    ) -> list[int]:
        """The numbers, from 1, of some of the records that `columns` gives."""
        filled = [number for number, is_filled in enumerate(self._filled(wanted), 1) if is_filled]
        return [filled[row] for row in rows]

    def _filled(self, wanted: Sequence[int]) -> list[bool]:
        some = [self.cells[column] for column in wanted]
        return [any(map(str.strip, cells)) for cells in zip(*some, strict=True)]


def _json(file: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(_read_text(file))
    except ValueError as error:
        raise LikewiseError(f"{file} is no JSON: {error}.") from error
    if isinstance(content, dict) and not any(isinstance(v, Mapping) for v in content.values()):
        return {"path": list(content), "label": list(content.values())}
    return _columns(file, enumerate(content if isinstance(content, list) else [None], 1))


def _json_lines(file: Path) -> dict[str, list[Any]]:
    return _columns(file, _objects_of_lines(file))


def _objects_of_lines(file: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, json.loads(line)
        except ValueError as error:
            raise LikewiseError(f"{file}, line {number}, is no JSON: {error}.") from error


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise LikewiseError(f"{file} cannot be read: {error}.") from error


def _columns(file: Path, records: Iterable[tuple[int, Any]]) -> dict[str, list[Any]]:
    """Columns by name; None where a record has no such value."""
    columns, count = dict[str, list[Any]](), 0
    for number, record in records:
        if not isinstance(record, Mapping):
            raise LikewiseError(f"{file}: record {number} is no object; {ALLOWED}.")
        for name, value in record.items():
            columns.setdefault(name, [None] * count).append(value)
        count += 1
        for values in columns.values():
            values += [None] * (count - len(values))
    return columns


def _parquet(file: Path) -> dict[str, list[Any]]:
    """The columns without those of images; classes that have names are those names."""
    try:
        stream = file.open("rb")
    except OSError as error:
        raise LikewiseError(f"{file} cannot be read: {error.strerror or error}.") from error
    with stream:
        reader = ParquetReader(stream, str(file))
        schema = reader.schema_arrow
        names = [field.name for field in schema if not holds_images(field.type)]
        columns = {name: reader.values(name) for name in names}
    for name, classes in class_names_of(schema).items():
        if classes and name in columns and pa.types.is_integer(schema.field(name).type):
            columns[name] = [_class_name(value, classes) for value in columns[name]]
    return columns


def _class_name(value: int | None, classes: Sequence[str]) -> str | int | None:
    return classes[value] if value is not None and 0 <= value < len(classes) else value


def _text(value: Any, file: Path) -> str:
    """A value as a cell of a CSV has it."""
    if value is None or value != value or isinstance(value, Mapping):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if not isinstance(value, list):
        return str(value)
    cells = [_text(each, file) for each in value]
    if len(cells) > 1 and any(" " in cell for cell in cells):
        raise LikewiseError(
            f"{file}: a list of texts was found ({value[0]!r}, ...). Write a record for each text; a list holds the "
            f"classes of an image, for --task multilabel."
        )
    return SEVERAL.join(cells)


READERS = {
    ".json": ("JSON", _json),
    ".jsonl": ("JSON lines", _json_lines),
    ".ndjson": ("JSON lines", _json_lines),
    ".parquet": ("Parquet", _parquet),
}
"""What reads a file by its ending, and what the kind is called."""
