"""Writes one shard: a tar archive as WebDataset has them, or a Parquet file as Hugging Face has them.

The same examples give the same bytes: an archive holds no times, owners or paths of the machine.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from likewise.data.batch import UNLABELLED
from likewise.data.columns.captions import CAPTIONS
from likewise.data.columns.groups import GROUP
from likewise.data.columns.targets import TARGETS
from likewise.data.packing.pack_facts import COLUMNS, ID, MASK, PARQUET_KEY, TAR_MEMBER, PackFacts
from likewise.data.packing.packed_example import PackedExample

ShardFormat = Literal["wds", "parquet"]

SUFFIX: dict[ShardFormat, str] = {"wds": ".tar", "parquet": ".parquet"}
"""The ending of each format's files."""

HELD: dict[ShardFormat, tuple[str, ...]] = {
    "wds": tuple(c for c in COLUMNS if c != MASK),
    "parquet": COLUMNS,
}
"""What each format holds besides images and classes."""

ROWS_IN_GROUP = 100
"""Rows that a reader of a Parquet file gets at a time, as the ``datasets`` library writes files of images."""


_IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})

_TEXT, _NUMBER = {"dtype": "string", "_type": "Value"}, {"dtype": "float32", "_type": "Value"}

_KINDS: dict[str, tuple[pa.DataType, dict[str, Any]]] = {
    CAPTIONS: (pa.list_(pa.string()), {"feature": _TEXT, "_type": "Sequence"}),
    TARGETS: (pa.list_(pa.float32()), {"feature": _NUMBER, "_type": "Sequence"}),
    GROUP: (pa.string(), _TEXT),
    MASK: (_IMAGE, {"_type": "Image"}),
}
"""Type of a column in Parquet, and what the ``datasets`` library calls it."""


def write_shard(
    to: ShardFormat, file: Path, facts: PackFacts, first: int, examples: Iterable[PackedExample]
) -> None:
    """Write a shard.

    Args:
        to: its format.
        file: what to write; it is replaced if it is there.
        facts: what holds for all examples of the set.
        first: number of the first example in its split, which counts on in the keys of archives.
        examples: in the order in which they are to be read.
    """
    if to == "wds":
        _write_tar(file, facts, first, examples)
    else:
        _write_parquet(file, facts, examples)


def _write_tar(file: Path, facts: PackFacts, first: int, examples: Iterable[PackedExample]) -> None:
    with tarfile.open(file, "w", format=tarfile.USTAR_FORMAT) as archive:
        _add(archive, TAR_MEMBER, facts.as_json())
        for number, example in enumerate(examples, first):
            key = f"{number:09d}"
            _add(archive, f"{key}.{example.ending}", example.content)
            if example.label is not None:
                _add(archive, f"{key}.cls", str(example.label).encode())
            if example.captions:
                _add(archive, f"{key}.txt", example.captions[0].encode())
            _add(archive, f"{key}.json", json.dumps(_record(example), ensure_ascii=False).encode())


def _record(example: PackedExample) -> dict[str, Any]:
    """What an archive's JSON file says of an example: its id, and what else is known of it."""
    said = {
        ID: example.id,
        CAPTIONS: list(example.captions),
        TARGETS: example.targets,
        GROUP: example.group,
    }
    return {name: value for name, value in said.items() if value}


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    # Owner, time and rights are those of any new TarInfo: 0, 0, 0644.
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _write_parquet(file: Path, facts: PackFacts, examples: Iterable[PackedExample]) -> None:
    schema = _schema(facts)
    rows: list[PackedExample] = []
    with pq.ParquetWriter(file, schema, compression="none", write_statistics=False) as writer:
        for example in examples:
            rows.append(example)
            if len(rows) == ROWS_IN_GROUP:
                writer.write_table(_table(rows, schema))
                rows.clear()
        if rows:
            writer.write_table(_table(rows, schema))


def _schema(facts: PackFacts) -> pa.Schema:
    fields: dict[str, pa.DataType] = {ID: pa.string(), "image": _IMAGE}
    features: dict[str, Any] = {ID: _TEXT, "image": {"_type": "Image"}}
    if facts.class_names:
        fields["label"] = pa.int64()
        features["label"] = {"names": list(facts.class_names), "_type": "ClassLabel"}
    for name in facts.columns:
        fields[name], features[name] = _KINDS[name]
    metadata = {
        b"huggingface": json.dumps({"info": {"features": features}}),
        PARQUET_KEY: facts.as_json(),
    }
    return pa.schema(list(fields.items()), metadata=metadata)


def _table(rows: list[PackedExample], schema: pa.Schema) -> pa.Table:
    columns: dict[str, list[Any]] = {
        ID: [row.id for row in rows],
        "image": [
            {"bytes": row.content, "path": f"{Path(row.id).stem}.{row.ending}"} for row in rows
        ],
        "label": [UNLABELLED if row.label is None else row.label for row in rows],
        CAPTIONS: [row.captions for row in rows],
        TARGETS: [row.targets for row in rows],
        GROUP: [row.group for row in rows],
        MASK: [None if row.mask is None else {"bytes": row.mask, "path": None} for row in rows],
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
