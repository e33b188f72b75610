"""Vectors of images and texts in memory, and the Parquet file that holds them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from torch import Tensor

from likewise.atomic_write import atomic_write
from likewise.errors import DamagedFile, LikewiseError

ENCODER, SKIPPED = "likewise.encoder", "likewise.skipped"
"""Keys of a Parquet file's metadata: the encoder's hash; ids of files that have no vector, each with the reason."""

CHECK = "likewise.sha256"
"""Key of the hash of the other metadata, and of how many rows there are; the rows themselves have page checksums."""

COLUMNS = frozenset({"id", "label", "vector"})
"""of every file of vectors"""

GROUP_ROWS = 2**14
"""Rows that a reader gets at a time."""


def require_writable(path: str | Path, overwrite: bool = False) -> None:
    """Refuse a file of vectors that exists, and a folder that does not.

    Raises:
        LikewiseError: says which of the two, and what to type.
    """
    target = Path(path)
    if target.exists() and not overwrite:
        raise LikewiseError(
            f"{target} exists. Choose another --out, or replace it with --overwrite."
        )
    if not target.parent.is_dir():
        raise LikewiseError(
            f"The folder {target.parent} does not exist. Make it first, or choose another --out."
        )


class Vectors(NamedTuple):
    """Embedded images or texts."""

    ids: list[str]
    """a stable id each"""
    labels: list[str]
    """class names, empty where unknown"""
    vectors: Tensor
    """float32 [N, D]"""
    shared: Tensor | None = None
    """unit vectors, float32 [N, d], comparable with those of texts or sounds; where the run learned from those"""
    encoder: str = ""
    """SHA-256 of the weights of the encoder that made them; empty where that is not known"""
    skipped: Mapping[str, str] = {}
    """ids of the files of the data that have no vector, each with the reason"""

    def column(self, name: str) -> Tensor | None:
        """The matrix ``vector`` or ``shared``; None where there is no such one."""
        return self.shared if name == "shared" else self.vectors

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a Parquet file with columns id, label and vector, and shared where there is one.

        Its metadata hold the encoder's hash and the files that have no vector.

        Raises:
            LikewiseError: the file exists and ``overwrite`` is not set, or there is no such folder.
        """
        require_writable(path, overwrite)
        self.write(Path(path), {})

    def write(self, target: Path, metadata: Mapping[str, str]) -> None:
        """Write the file, whole or not at all.

        Args:
            target: replaced if it is there.
            metadata: what else its metadata are to hold.

        Raises:
            EnvironmentIOError: it cannot be written.
        """
        columns = {"id": self.ids, "label": self.labels, "vector": _lists(self.vectors)}
        if self.shared is not None:
            columns["shared"] = _lists(self.shared)
        said = {ENCODER: self.encoder, SKIPPED: json.dumps(dict(self.skipped))}
        said.update(metadata)
        said[CHECK] = _checksum(said, len(self.ids))
        table = pa.table(columns).replace_schema_metadata(said)
        with atomic_write(target) as partial:
            parquet.write_table(table, partial, row_group_size=GROUP_ROWS, write_page_checksum=True)


def is_vector_file(path: Path) -> bool:
    """Whether a Parquet file has the columns of `Vectors.save`."""
    try:
        return set(parquet.read_schema(path).names) >= COLUMNS
    except (OSError, pa.ArrowException):
        return False


class VectorFile:
    """A file of `Vectors.save`, of which only what is asked for is read.

    Raises:
        LikewiseError: it is of another format.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._reader = parquet.ParquetFile(path, page_checksum_verification=True)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(path, "it is cut short, or no Parquet file") from error
        self.path = path
        schema = self._reader.schema_arrow
        missing = ", ".join(sorted(COLUMNS - set(schema.names)))
        if missing:
            raise LikewiseError(
                f"{path} has no column {missing}; it was not written by likewise embed."
            )
        if not pa.types.is_fixed_size_list(schema.field("vector").type):
            raise _damaged(path, 'its column "vector" holds no vectors of one length')
        stored = schema.metadata or {}
        try:
            self.metadata = {name.decode(): value.decode() for name, value in stored.items()}
        except UnicodeDecodeError as error:
            raise _damaged(path, "its metadata are no text") from error
        checksum = _checksum(self.metadata, self.rows)
        if self.metadata.get(CHECK, checksum) != checksum:
            raise _damaged(path, "its metadata do not match their checksum")

    @property
    def rows(self) -> int:
        """How many vectors it holds."""
        return self._reader.metadata.num_rows

    @property
    def groups(self) -> int:
        """How many row groups have rows."""
        return self._reader.num_row_groups if self.rows else 0

    @property
    def encoder(self) -> str:
        """The hash of the encoder that made them; empty where that is not known."""
        return self.metadata.get(ENCODER, "")

    @property
    def skipped(self) -> dict[str, str]:
        """Ids of files that have no vector, each with the reason."""
        try:
            return json.loads(self.metadata.get(SKIPPED, "{}"))
        except ValueError as error:
            raise _damaged(self.path, "its list of files without vectors is cut short") from error

    def width(self, column: str) -> int | None:
        """Numbers in each vector of a column; None where there is no such column."""
        schema = self._reader.schema_arrow
        return schema.field(column).type.list_size if column in schema.names else None

    def blocks(self, column: str) -> Iterator[Tensor]:
        """The vectors of a column, float32 [b, D], some rows at a time."""
        for group in range(self.groups):
            yield _matrix(self._table([column], group), column)

    def ids(self, group: int) -> list[str]:
        """The ids of the rows of a row group."""
        return self._table(["id"], group)["id"].to_pylist()

    def names(self, rows: Sequence[int]) -> dict[int, tuple[str, str]]:
        """Id and label of some rows."""
        if not rows:
            return {}
        table = self._table(["id", "label"]).take(list(rows))
        names = zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True)
        return dict(zip(rows, names, strict=True))

    def read(self) -> Vectors:
        """All of it."""
        table = self._table()
        shared = _matrix(table, "shared") if "shared" in table.column_names else None
        return Vectors(
            ids=table["id"].to_pylist(),
            labels=table["label"].to_pylist(),
            vectors=_matrix(table, "vector"),
            shared=shared,
            encoder=self.encoder,
            skipped=self.skipped,
        )

    def _table(self, columns: Sequence[str] | None = None, group: int | None = None) -> pa.Table:
        """Some columns or all, of a row group or of all.

        Raises:
            DamagedFile: bytes of the file were changed after it was written.
        """
        names = None if columns is None else list(columns)
        try:
            if group is None:
                return self._reader.read(names)
            return self._reader.read_row_group(group, columns=names)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self.path, "its content does not match its checksums") from error


def _checksum(metadata: Mapping[str, str], rows: int) -> str:
    """A hash of what likewise says of a file."""
    own = []
    for name, value in sorted(metadata.items()):
        if name.startswith("likewise.") and name != CHECK:
            own.append((name, value))
    hashed = json.dumps([own, rows])
    return hashlib.sha256(hashed.encode()).hexdigest()


def _damaged(path: Path, reason: str) -> DamagedFile:
    remedy = f"Make it again: likewise embed RUN IMAGES --out {path} --overwrite"
    return DamagedFile(path, reason, remedy)


def _matrix(table: pa.Table, column: str) -> Tensor:
    width = table.schema.field(column).type.list_size
    numbers = table[column].combine_chunks().flatten()  # [N * D]
    flat = numbers.to_numpy(zero_copy_only=False)
    return torch.tensor(flat).view(table.num_rows, width)


def _lists(vectors: Tensor) -> pa.FixedSizeListArray:
    flat = pa.array(vectors.numpy().reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
