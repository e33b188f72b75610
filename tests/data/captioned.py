"""Small captioned files for tests."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data.pictures import picture


def captioned_parquet(
    path: Path, captions: list[object], column: str = "captions", labels: list[int] | None = None
):
    """A Parquet file with one image, and what is given as its captions, a row."""
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {
        "image": pa.array([{"bytes": png(i), "path": None} for i in range(len(captions))], kind)
    }
    if column:
        columns[column] = pa.array(captions)
    if labels is not None:
        columns["label"] = pa.array(labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=5)
    return path


def png(number: int) -> bytes:
    """An image that no other number has, as a file's bytes."""
    out = io.BytesIO()
    picture(number).save(out, "PNG")
    return out.getvalue()
