"""A file of predictions that grows row by row, and goes on where a killed command left it."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet

from likewise.atomic_write import disk_error
from likewise.classification.csv_cells import as_cell, names_of
from likewise.data.columns.targets import TargetTask
from likewise.errors import DamagedFile, LikewiseError
from likewise.json_files import read_object, write_json
from likewise.write_lock import only_writer

COLUMNS = pa.schema(
    {
        "path": pa.string(),
        "class": pa.string(),
        "probability": pa.float64(),
        "runner_up": pa.string(),
        "unsure": pa.bool_(),
        "unlike": pa.bool_(),
        "error": pa.string(),
    }
)
"""of a table of predictions"""


def target_columns(task: TargetTask, names: Sequence[str]) -> pa.Schema:
    """Columns of a table of predictions of several classes an image, or of numbers.

    Args:
        task: multilabel or regression.
        names: of the classes or numbers.
    """
    if task == "multilabel":
        fields = {
            "classes": pa.string(),
            **{f"probability of {name}": pa.float64() for name in names},
        }
    else:
        fields = {f"{name}{end}": pa.float64() for name in names for end in ("", " low", " high")}
    return pa.schema({"path": pa.string(), **fields, "unlike": pa.bool_(), "error": pa.string()})


class Prediction(NamedTuple):
    """One image's prediction. What is not known of a file that could not be read is None, or an empty string."""

    path: str
    """the image's id: a path, or a position in the data"""
    predicted: str
    """name of the class; empty where the file could not be read"""
    probability: float | None
    """of that class, calibrated"""
    runner_up: str
    """name of the second most probable class"""
    unsure: bool
    """whether the stated precision does not cover it"""
    unlike: bool | None
    """whether it is farther from everything learned than 99 % of that is"""
    error: str
    """why the file could not be read; empty where it could"""


Row = tuple[str | float | bool | None, ...]
"""A `Prediction`, or a row of `target_columns`."""


class Sink(Protocol):
    """Where rows go, in order."""

    @property
    def written(self) -> int:
        """Rows that are there already."""
        ...

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows; they are there even if the process is killed right after."""
        ...

    def finish(self) -> None:
        """All rows are there."""
        ...


class RowsInMemory:
    """Rows as a table, for predictions that go into no file."""

    def __init__(self, columns: pa.Schema = COLUMNS) -> None:
        self.columns = columns
        self._rows: list[Row] = []

    @property
    def written(self) -> int:
        """None are there before the first is added."""
        return len(self._rows)

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        self._rows += rows

    def finish(self) -> None:
        """Nothing is left to do."""

    def table(self) -> pa.Table:
        """The rows so far."""
        columns = zip(*self._rows, strict=True) if self._rows else [[]] * len(self.columns)
        arrays = [
            pa.array(list(column), field.type)
            for column, field in zip(columns, self.columns, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self.columns)


class PredictionFile:
    """A CSV or Parquet file that takes its name when it is complete.

    Until then rows are in ``<name>.partial``, a CSV, and ``<name>.partial.json`` says how much of it is whole and what
    it belongs to. After each batch the rows are on disk before their number is.

    Args:
        out: the file, ``.csv`` or ``.parquet``.
        key: what the rows depend on; a partial file of another key is started again.
        overwrite: whether a complete file of that name may be replaced.
        columns: of the rows.

    Raises:
        LikewiseError: another ending, no such folder, the file exists, or another process writes it.
    """

    def __init__(
        self,
        out: Path,
        key: Mapping[str, Any],
        overwrite: bool = False,
        columns: pa.Schema = COLUMNS,
    ) -> None:
        _require_writable(out, overwrite)
        self.out, self.key, self.columns = out, dict(key), columns
        self._lock = ExitStack()
        self._lock.enter_context(only_writer(out))
        self._partial = out.with_name(f"{out.name}.partial")
        self._state = out.with_name(f"{out.name}.partial.json")
        self.written = 0
        self.started_again = False
        """whether there was a partial file of another key"""
        with ExitStack() as on_error:
            on_error.callback(self.close)
            _require_writable(out, overwrite)  # another process may have finished it
            self._begin()
            on_error.pop_all()

    def _begin(self) -> None:
        try:
            self._open()
        except OSError as error:
            raise disk_error(self._partial, error) from error

    def _open(self) -> None:
        has_partial = self._state.exists() and self._partial.exists()
        state = self._state_before() if has_partial else None
        if state is not None and state["key"] == self.key:
            self.written = state["rows"]
            os.truncate(self._partial, state["bytes"])
            return
        self.started_again = has_partial
        self._partial.write_bytes(b"")
        self._write([_as_line(self.columns.names)])

    def _state_before(self) -> dict[str, Any] | None:
        """What a stopped command has noted; None where that is damaged, or says more than the rows hold."""
        try:
            state = read_object(self._state, {"key": dict, "rows": int, "bytes": int})
        except DamagedFile:
            return None
        return state if 0 <= state["bytes"] <= self._partial.stat().st_size else None

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows.

        Raises:
            EnvironmentIOError: the disk is full or not writable.
        """
        lines = list(map(_as_line, rows))
        remedy = f"give the same command again, which goes on from row {self.written:,}"
        self.written += len(lines)
        try:
            self._write(lines)
        except OSError as error:
            raise disk_error(self._partial, error, remedy=remedy) from error

    def _write(self, lines: Iterable[Iterable[Any]]) -> None:
        # A name that is not valid UTF-8 is written with its bytes spelled out.
        with self._partial.open(
            "a", newline="", encoding="utf-8", errors="backslashreplace"
        ) as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
            file.flush()
            os.fsync(file.fileno())
        write_json(
            self._state,
            {"key": self.key, "rows": self.written, "bytes": self._partial.stat().st_size},
        )

    def finish(self) -> None:
        """Give the file its name."""
        if self.out.suffix == ".csv":
            self._partial.replace(self.out)
        else:
            self._write_parquet()
        self._partial.unlink(missing_ok=True)
        self._state.unlink()

    def close(self) -> None:
        """Other processes may write the file now."""
        self._lock.close()

    def _write_parquet(self) -> None:
        """The rows as a Parquet file under the file's own name."""
        whole = self.out.with_name(f"{self.out.name}.partial.parquet")
        try:
            with parquet.ParquetWriter(whole, self.columns) as writer:
                for batch in _batches(self._partial, self.columns):
                    writer.write_batch(batch)
            whole.replace(self.out)
        except OSError as error:
            whole.unlink(missing_ok=True)
            remedy = "give the same command again, which writes this file alone"
            raise disk_error(self.out, error, remedy=remedy) from error


def _as_line(row: Iterable[Any]) -> list[Any]:
    """A row as cells of a CSV file."""
    return ["" if value is None else as_cell(value) for value in row]


def _require_writable(out: Path, overwrite: bool) -> None:
    """Refuse another ending, a file that exists, and a folder that does not."""
    if out.suffix not in (".csv", ".parquet"):
        raise LikewiseError(
            f"--out {out} ends in {out.suffix or 'nothing'}; give a name in .csv or .parquet."
        )
    if out.exists() and not overwrite:
        raise LikewiseError(f"{out} exists. Choose another --out, or replace it with --overwrite.")
    if not out.parent.is_dir():
        raise LikewiseError(
            f"The folder {out.parent} does not exist. Make it first, or choose another --out."
        )


def read_predictions(path: Path, columns: pa.Schema = COLUMNS) -> pa.Table:
    """The table in a file that `PredictionFile` wrote."""
    if path.suffix == ".parquet":
        return parquet.read_table(path)
    return pa.Table.from_batches(_batches(path, columns), columns)


def _batches(path: Path, columns: pa.Schema) -> Iterable[pa.RecordBatch]:
    """A CSV of predictions, a part at a time."""
    cells = pa.schema([field.with_name(as_cell(field.name)) for field in columns])
    types = arrow_csv.ConvertOptions(
        column_types=cells,
        null_values=[""],
        strings_can_be_null=False,
        quoted_strings_can_be_null=False,
    )
    parsing = arrow_csv.ParseOptions(newlines_in_values=True)
    for batch in arrow_csv.open_csv(path, parse_options=parsing, convert_options=types):
        yield names_of(batch, columns)
