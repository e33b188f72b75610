"""Embedding vectors of images and texts: their file format, and search by cosine similarity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from torch import Tensor

from likewise.errors import EnvironmentIOError, LikewiseError

_ENCODER, _SKIPPED = "likewise.encoder", "likewise.skipped"
"""Keys of a Parquet file's metadata."""


class SearchResult(NamedTuple):
    """An image found by a search."""

    cosine: float
    """cosine similarity of the two vectors"""
    id: str
    """its path, or its position in the data"""
    label: str
    """its class, or empty"""


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

    def save(self, path: str | Path, overwrite: bool = False) -> None:
        """Write a Parquet file with columns id, label and vector, and shared where there is one.

        Its metadata hold the encoder's hash and the files that have no vector.

        Raises:
            LikewiseError: the file exists and ``overwrite`` is not set.
        """
        target = Path(path)
        if target.exists() and not overwrite:
            raise LikewiseError(f"{target} exists. Choose another --out, or replace it with --overwrite.")
        columns = {"id": self.ids, "label": self.labels, "vector": _lists(self.vectors)}
        if self.shared is not None:
            columns["shared"] = _lists(self.shared)
        metadata = {_ENCODER: self.encoder, _SKIPPED: json.dumps(dict(self.skipped))}
        try:
            parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), target)
        except OSError as error:
            raise EnvironmentIOError(f"{target} cannot be written: {error.strerror or error}.") from error


def read_vectors(path: Path) -> Vectors:
    """Read a file of `Vectors.save`.

    Raises:
        LikewiseError: there is no such file, or it is of another format.
    """
    if not path.is_file():
        raise LikewiseError(f"There is no file {path}. Make it with: likewise embed RUN IMAGES --out {path}")
    table = parquet.read_table(path)
    missing = {"id", "label", "vector"} - set(table.column_names)
    if missing:
        raise LikewiseError(f"{path} has no column {', '.join(sorted(missing))}; it was not written by likewise embed.")
    shared = _matrix(table, "shared") if "shared" in table.column_names else None
    metadata = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    return Vectors(
        table["id"].to_pylist(),
        table["label"].to_pylist(),
        _matrix(table, "vector"),
        shared,
        metadata.get(_ENCODER, ""),
        json.loads(metadata.get(_SKIPPED, "{}")),
    )


def _matrix(table: pa.Table, column: str) -> Tensor:
    flat = table[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return torch.tensor(flat).view(table.num_rows, -1)


def _lists(vectors: Tensor) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.numpy().reshape(-1)), vectors.shape[1])


def most_similar(query: Tensor, vectors: Tensor, gallery: Vectors, count: int) -> list[SearchResult]:
    """The rows of a gallery [N, D] most similar to a query [1, D] by cosine, best first."""
    if count < 1:
        raise LikewiseError(f"--count {count} was given; it must be 1 or more, for instance 10.")
    best = torch.nn.functional.cosine_similarity(query, vectors).topk(min(count, len(vectors)))
    return [
        SearchResult(value, gallery.ids[i], gallery.labels[i])
        for value, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
