"""Tables in text files: which separator a file has, and its columns as text."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from likewise.counts import amount
from likewise.data.sources.text_encoding import encoding_of
from likewise.data.sources.text_table import COMMENT, SAMPLE_ROWS, SEPARATORS, Layout
from likewise.errors import LikewiseError

SAMPLE_BYTES = 1 << 18
"""Bytes of a file that are looked at to find its separator."""

REGULAR = 0.9
"""Share of the sampled rows that have as many columns as most have, where a separator is the right one."""


_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True)
class DelimitedText:
    """A text file of rows and columns."""

    file: Path
    encoding: str
    layouts: tuple[Layout, ...]
    """those that are possible, the usual separators first; the last is one column"""
    skip: int = 0
    """lines above the table: Excel's ``sep=;``, and remarks"""
    comments: int = 0
    """those of them that begin with ``#``"""

    @classmethod
    def open(cls, file: Path) -> DelimitedText:
        """Find the encoding and the possible separators.

        Raises:
            LikewiseError: the file cannot be read, is no text, or is empty.
        """
        encoding = encoding_of(file)
        text = _sample_text(file, encoding)
        if not text.strip():
            raise LikewiseError(
                f"{file} is empty. Its first line is a heading, for instance image_path,label."
            )
        named = "\t" if file.suffix.lower() == ".tsv" else None
        lines = text.split("\n")
        first = lines[0].strip().strip('"')
        above = int(first.lower().startswith("sep=") and len(first) == 5)
        if above:
            named = first[4]
        skip = _table_begins(lines, above)
        remarks = [line for line in lines[above:skip] if line.strip()]
        table = "\n".join(lines[skip:])
        if not table.strip():
            raise LikewiseError(f"{file} holds nothing but lines that begin with {COMMENT}.")
        return cls(file, encoding, _layouts(table, named), skip, len(remarks))

    def columns(self, layout: Layout, wanted: Sequence[int], has_heading: bool) -> list[list[str]]:
        """Some columns of all rows, as they are written; rows whose cells in them are blank are left out.

        Raises:
            LikewiseError: a row has more cells than the file has columns, or a quotation mark is not closed.
        """
        found = self._by_pyarrow(layout, wanted, has_heading)
        if found is None:
            found = self._by_csv(layout, wanted, has_heading)
        filled = [any(map(str.strip, cells)) for cells in zip(*found, strict=True)]
        if all(filled):
            return found
        return [list(itertools.compress(column, filled)) for column in found]

    def lines_of(
        self, layout: Layout, wanted: Sequence[int], has_heading: bool, rows: Sequence[int]
    ) -> list[int]:
        """The lines, from 1, of some of the rows that `columns` gives."""
        filled = list[int]()
        for line, cells in self._rows(layout, has_heading):
            if any(cells[column].strip() for column in wanted):
                filled.append(line)
        return [filled[row] for row in rows]

    def _by_pyarrow(
        self, layout: Layout, wanted: Sequence[int], has_heading: bool
    ) -> list[list[str]] | None:
        """The columns by pyarrow; None where rows differ in length or are quoted in a way of their own."""
        import pyarrow as pa  # slow to import
        from pyarrow import csv as arrow_csv

        if layout.separator in ("", " "):
            return None
        names = [f"f{column}" for column in range(layout.width)]
        reading = arrow_csv.ReadOptions(
            encoding="utf8" if self.encoding.startswith("utf-8") else self.encoding,
            column_names=names,
            skip_rows=self.skip,
            block_size=1 << 23,
        )
        parsing = arrow_csv.ParseOptions(delimiter=layout.separator, newlines_in_values=True)
        conversion = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=[names[column] for column in wanted],
            strings_can_be_null=False,
        )
        try:
            table = arrow_csv.read_csv(self.file, reading, parsing, conversion)
        except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeError):
            return None
        found = list[list[str]]()
        for column in table.slice(int(has_heading)).itercolumns():
            cells = _shared_strings(column)
            if any("\n" in cell or cell.lstrip().startswith('"') for cell in cells):
                return None
            found.append(cells)
        return found

    def _by_csv(self, layout: Layout, wanted: Sequence[int], has_heading: bool) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in wanted]
        shared = dict[str, str]()  # equal cells are one object
        for _, cells in self._rows(layout, has_heading):
            for column, values in zip(wanted, found, strict=True):
                values.append(shared.setdefault(cells[column], cells[column]))
        return found

    def _rows(self, layout: Layout, has_heading: bool) -> Iterator[tuple[int, list[str]]]:
        """The rows that are not blank, each with the line it begins at; short ones are filled up with blank cells."""
        begins = self.skip + 1
        try:
            with self.file.open(newline="", encoding=self.encoding) as stream:
                lines = itertools.islice(stream, self.skip, None)
                reader = _reader(lines, layout.separator, strict=True)
                is_heading = has_heading
                for cells in reader:
                    line, begins = begins, self.skip + reader.line_num + 1
                    if not any(map(str.strip, cells)):
                        continue
                    if is_heading:
                        is_heading = False
                        continue
                    yield line, self._of_width(cells, layout, line)
        except (OSError, UnicodeError) as error:
            raise LikewiseError(f"{self.file} cannot be read: {error}.") from error
        except csv.Error as error:
            raise LikewiseError(
                f"{self.file}: a quotation mark is not closed, or text stands behind it ({error}), in what begins at "
                f"line {begins}. Close it, or write a quotation mark within a cell twice."
            ) from error

    def _of_width(self, cells: list[str], layout: Layout, line: int) -> list[str]:
        if any(map(str.strip, cells[layout.width :])):
            raise LikewiseError(
                f"{self.file}, line {line}: {amount(len(cells), 'column')}, but the file has {layout.width}. Put "
                f"quotation marks around a cell that holds a {layout.separator_name}. The line: "
                f"{layout.separator.join(cells)[:120]}"
            )
        return cells[: layout.width] + [""] * (layout.width - len(cells))


def _shared_strings(column: Any) -> list[str]:
    """The strings of a pyarrow column as a list in which equal ones are one object."""
    strings = list[str]()
    for chunk in column.chunks:
        encoded = chunk.dictionary_encode()
        strings += map(encoded.dictionary.to_pylist().__getitem__, encoded.indices.to_pylist())
    return strings


def _reader(lines: Any, separator: str, strict: bool) -> Any:
    return csv.reader(lines, delimiter=separator or "\0", skipinitialspace=True, strict=strict)


def _sample_text(file: Path, encoding: str) -> str:
    """The beginning of a file, as whole lines."""
    try:
        with file.open(newline="", encoding=encoding) as stream:
            text = stream.read(SAMPLE_BYTES)
            is_whole = not stream.read(1)
    except (OSError, UnicodeError) as error:
        raise LikewiseError(f"{file} cannot be read: {error}.") from error
    if _CONTROL.search(text):
        raise LikewiseError(
            f"{file} is no text: it holds control characters. Give a table as CSV, in UTF-8."
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if is_whole else text[: text.rfind("\n") + 1] or text


def _table_begins(lines: Sequence[str], above: int) -> int:
    """How many lines stand above a table: those of remarks, and blank ones between them.

    The last of them is the table's heading where it has as many cells as the line below it, each of one word. A line
    in which a file is named is a row.
    """
    begins = above
    for number, line in enumerate(lines[above:], start=above):
        if line.lstrip().startswith(COMMENT) and not _names_a_file(line):
            begins = number + 1
        elif line.strip():
            break
    if begins > above and _is_heading_of(lines[begins - 1], lines[begins:]):
        return begins - 1
    return begins


def _names_a_file(line: str) -> bool:
    """Whether a cell of a line is the name of a file, such as ``#1.jpg``."""
    cells = [cell.strip() for cell in re.split(r"[,;\t|]", line)]
    return any(re.fullmatch(r"\S+\.\w{2,5}", cell) for cell in [*cells, line.split()[0]])


def _is_heading_of(remark: str, below: Sequence[str]) -> bool:
    """Whether a remark has as many cells as the first line below it that is not blank, each of one word."""
    following = next((each for each in below if each.strip()), "")
    for separator in SEPARATORS:
        cells = remark.replace(COMMENT, "", 1).split(separator)
        if separator != " " and 1 < len(cells) == len(following.split(separator)):
            return all(len(cell.split()) == 1 for cell in cells)
    return False


def _layouts(text: str, named: str | None) -> tuple[Layout, ...]:
    """The layouts by the separators that divide most rows alike, with the named one alone where it does."""
    found = [layout for separator in SEPARATORS if (layout := _layout(text, separator)) is not None]
    named_one = [layout for layout in found if layout.separator == named]
    not_blank = [layout for layout in found if layout.separator != " "]
    chosen = named_one or not_blank or found or _irregular(text)
    lines = [[line.strip()] for line in text.split("\n") if line.strip()]
    return (*chosen, Layout("", 1, lines[:SAMPLE_ROWS]))


def _irregular(text: str) -> list[Layout]:
    """Where no separator divides nearly all rows alike: those that divide at least half of them as the first one."""
    found = [_layout(text, separator, regular=0.5) for separator in SEPARATORS if separator != " "]
    return [layout for layout in found if layout is not None and layout.sample[0][-1]]


def _layout(text: str, separator: str, regular: float = REGULAR) -> Layout | None:
    if separator not in text:
        return None
    rows = list[list[str]]()
    try:
        for cells in _reader(io.StringIO(text), separator, strict=False):
            trimmed = [cell.strip() for cell in cells]
            if any(trimmed):
                rows.append(trimmed)
            if len(rows) == SAMPLE_ROWS:
                break
    except csv.Error:  # a cell of more than 128 KiB
        pass
    if not rows:
        return None
    width, count = Counter(map(len, rows)).most_common(1)[0]
    if width < 2 or count < regular * len(rows) - 1:
        return None
    return Layout(separator, width, [row[:width] + [""] * (width - len(row)) for row in rows])
