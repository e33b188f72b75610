"""Images in Parquet files as Hugging Face publishes them: a column of ``{bytes, path}``, a column of labels.

The form is that of https://huggingface.co/docs/hub/datasets-image#parquet-format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from likewise.data.columns.captions import COLUMN_NAMES, captions_in
from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames
from likewise.data.columns.groups import GROUP, groups_in
from likewise.data.columns.masks import Masks
from likewise.data.columns.parquet_reader import ParquetReader
from likewise.data.columns.parquet_schema import class_names_of, features_of, holds_images
from likewise.data.columns.targets import TARGETS
from likewise.data.compact_ids import RowIds, StoredIds
from likewise.data.decode_file import UnreadableImage
from likewise.data.manifest import Manifest
from likewise.data.packing.pack_facts import ID, PARQUET_KEY, PackFacts, common_facts
from likewise.data.pixel_source import Headers
from likewise.data.sources.header_scan import Scan
from likewise.data.sources.parquet_pixels import Location, ParquetCell, ParquetPixels, RowGroups
from likewise.data.sources.read_labels import Labels, read_labels
from likewise.data.sources.shard_files import LocalShards, ShardFiles
from likewise.data.sources.shards import (
    LARGE,
    is_large,
    read_headers,
    shard_names,
    split_of,
    with_headers,
)
from likewise.data.sources.usual_label_column import label_column_note, usual_label_column
from likewise.data.video.clip_columns import START, starts_in
from likewise.errors import LikewiseError, did_you_mean

MASK = "mask"
"""The column of masks: images of one channel whose values are class numbers."""


class Columns(NamedTuple):
    """Which column holds what."""

    image: str
    label: str | None
    names: tuple[str, ...]
    """class names, where the schema has them"""
    mask: str | None
    """the column of masks, called ``mask``"""


def open_parquet(
    files: Sequence[Path], source: str, named: ColumnNames = USUAL_COLUMNS
) -> Manifest:
    """The images of one or several Parquet files.

    A split is read off a file's name (``train-00000-of-00002.parquet``, ``cifar-test.parquet``), else it is "train".
    An id is the file's name and the row, ``train.parquet/17``, or as the set had it that ``likewise pack`` wrote into
    the files. Pixels stay in the files until they are requested.

    Args:
        files: of one set.
        source: what to call them.
        named: which columns hold what, where that is not to be found out.

    Raises:
        LikewiseError: a file cannot be read, has no column of images or of that name, or differs from the others.
    """
    paths = LocalShards(files)
    readers = [
        ParquetReader(paths.open(number), paths.name(number)) for number in range(len(paths))
    ]
    whole = manifest_of(readers, paths, shard_names(files), source, named)
    if not is_large(files):
        return scan_rows(whole)
    return scan_rows(replace(whole, notes=(*whole.notes, LARGE)), range(len(files)))


def has_images(file: Path) -> bool:
    """Whether a Parquet file has a column of images; it may be one of their paths else.

    Raises:
        LikewiseError: it cannot be read.
    """
    with file.open("rb") as stream:
        schema = ParquetReader(stream, str(file)).schema_arrow
    kinds = [field.type for field in schema]
    has_text = any(pa.types.is_string(kind) or pa.types.is_large_string(kind) for kind in kinds)
    return any(map(holds_images, kinds)) or not has_text


def manifest_of(
    readers: Sequence[ParquetReader],
    files: ShardFiles,
    names: Sequence[str],
    source: str,
    named: ColumnNames,
) -> Manifest:
    """The rows of all files, the headers of their images not read yet.

    Args:
        readers: the files, opened.
        files: where images are read from.
        names: what the ids of each begin with; its split is read off it.
        source: what to call them all.
        named: which columns hold what, where that is not to be found out.

    Raises:
        LikewiseError: there is no column of images or of that name, or files differ.
    """
    first = files.name(0)
    columns = _columns(first, readers[0].schema_arrow, named.label)
    for number, reader in enumerate(readers):
        name = files.name(number)
        _refuse_different(columns, name, _columns(name, reader.schema_arrow, named.label), first)
    facts = common_facts(
        [_facts(files.name(number), reader) for number, reader in enumerate(readers)],
        [files.name(number) for number in range(len(files))],
    )
    locations = _locations(readers)
    ids = _row_ids(readers, names) if facts is None else _packed_ids(readers)
    labels = _packed_labels(readers, columns, facts) or _labels(readers, columns, named)
    is_chosen = named.label is not None or facts is not None
    note = [] if is_chosen else _label_note(source, readers[0].schema_arrow, columns)
    unread = Headers.unread(len(ids))
    return Manifest(
        source=source,
        pixels=ParquetPixels(RowGroups(files, columns.image), locations, unread),
        labels=labels.numbers,
        splits=np.array([split_of(name) for name in names])[locations[:, 0]],
        ids=ids,
        class_names=labels.class_names,
        notes=(*note, *labels.notes),
        masks=_masks(files, columns.mask, locations),
        columns=captions_in(readers)
        | starts_in(readers)
        | groups_in(readers, named.group)
        | labels.columns,
    )


def scan_rows(manifest: Manifest, first_groups_of: Sequence[int] | None = None) -> Manifest:
    """The manifest with headers, less the rows that are no image.

    Args:
        manifest: rows of Parquet files.
        first_groups_of: files of which the first row group is scanned; None: every row is.
    """
    pixels = manifest.pixels
    assert isinstance(pixels, ParquetPixels)
    to_scan = np.arange(len(manifest))
    if first_groups_of is not None:
        files, groups = pixels.locations[:, 0], pixels.locations[:, 1]
        to_scan = np.flatnonzero((groups == 0) & np.isin(files, list(first_groups_of)))
    return with_headers(manifest, to_scan, headers_of_rows(pixels, to_scan))


def headers_of_rows(pixels: ParquetPixels, rows: np.ndarray) -> Scan:
    """The headers of some rows.

    Args:
        pixels: of Parquet files.
        rows: int64 [n], which.
    """
    groups, locations = pixels.groups, pixels.locations

    def content(position: int) -> bytes:
        encoded = groups.read(Location(*locations[position].tolist()))
        if encoded is None:
            raise UnreadableImage("no bytes in the file")
        return encoded

    groups.read_ahead(locations[rows])
    return read_headers(rows, content)


def _columns(file: str, schema: pa.Schema, label_column: str | None) -> Columns:
    """Which columns to read: those of the Hugging Face metadata, else by type and usual name."""
    features = features_of(schema)
    pictures = [name for name in schema.names if holds_images(schema.field(name).type)]
    images = [name for name in pictures if name != MASK]
    marked = [name for name in images if features.get(name, {}).get("_type") == "Image"] or images
    if not marked:
        raise LikewiseError(
            f"{file} has no column of images. Columns found: {', '.join(schema.names)}. Images are a column "
            f"of {{bytes, path}}, as the Hugging Face datasets library writes them; or, of files on this machine, a "
            f"column of their paths."
        )
    image = next((name for name in ("image", "img") if name in marked), marked[0])
    if label_column is not None and label_column not in schema.names:
        raise LikewiseError(
            f"{file} has no column {label_column!r}. {did_you_mean(label_column, schema.names)}"
        )
    classes = class_names_of(schema)
    label = label_column or usual_label_column(schema.names, classes)
    return Columns(
        image, label, tuple(classes.get(label or "", ())), MASK if MASK in pictures else None
    )


def _label_note(source: str, schema: pa.Schema, columns: Columns) -> list[str]:
    """A note where labels could stand in a column that was not read."""
    known = {columns.label, GROUP, *COLUMN_NAMES, START}
    others = [
        name
        for name in schema.names
        if name not in known and not holds_images(schema.field(name).type)
    ]
    return label_column_note(source, columns.label, others, class_names_of(schema))


def _refuse_different(first: Columns, file: str, other: Columns, first_file: str) -> None:
    if other != first:
        raise LikewiseError(
            f"{file} and {first_file} do not belong together: one has the columns {first[:2]} and "
            f"{len(first.names)} class names, the other {other[:2]} and {len(other.names)}. Give the files of one set."
        )


def _locations(readers: Sequence[ParquetReader]) -> np.ndarray:
    """Int32 [N, 3]: the `Location` of each row."""
    parts = [np.empty((0, 3), np.int32)]
    for file, reader in enumerate(readers):
        for group in range(reader.num_row_groups):
            rows = np.arange(reader.metadata.row_group(group).num_rows, dtype=np.int32)
            parts.append(np.stack(np.broadcast_arrays(np.int32(file), np.int32(group), rows), 1))
    return np.concatenate(parts)


def _row_ids(readers: Sequence[ParquetReader], names: Sequence[str]) -> RowIds:
    counts = [reader.metadata.num_rows for reader in readers]
    file = np.repeat(np.arange(len(readers), dtype=np.int32), counts)
    row = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
    return RowIds(names, file, row)


def _packed_ids(readers: Sequence[ParquetReader]) -> StoredIds:
    """The ids that a packed set has, file by file."""
    return StoredIds(chain.from_iterable(reader.values(ID) for reader in readers))


def _labels(readers: Sequence[ParquetReader], columns: Columns, named: ColumnNames) -> Labels:
    """Labels and class names; null is unlabelled."""
    if columns.label is None:
        return Labels(
            torch.full((sum(reader.metadata.num_rows for reader in readers),), -1), (), {}
        )
    values, called = _listed(readers, columns.label), f"the column {columns.label!r}"
    return read_labels(values, called, columns.names, named.task, named.missing_labels)


def _facts(file: str, reader: ParquetReader) -> PackFacts | None:
    """What a file says about its set, where `likewise.data.packing.pack.pack` wrote it."""
    content = (reader.schema_arrow.metadata or {}).get(PARQUET_KEY)
    return None if content is None else PackFacts.of_json(content, file)


def _packed_labels(
    readers: Sequence[ParquetReader], columns: Columns, facts: PackFacts | None
) -> Labels | None:
    """The targets of a packed set that has them."""
    if facts is None or facts.task is None:
        return None
    targets = facts.read_columns(_listed(readers, TARGETS), [])[TARGETS]
    return Labels(torch.full((len(targets),), -1), (), {TARGETS: targets})


def _listed(readers: Sequence[ParquetReader], column: str) -> list[Any]:
    """A column of all files as Python values."""
    return [value for reader in readers for value in reader.values(column)]


def _masks(files: ShardFiles, column: str | None, locations: np.ndarray) -> Masks | None:
    if column is None:
        return None
    groups = RowGroups(files, column)
    cells = [ParquetCell(groups, Location(*row)) for row in locations.tolist()]
    present = [cell if _has_bytes(cell) else None for cell in cells]
    return Masks(present) if any(cell is not None for cell in present) else None


def _has_bytes(cell: ParquetCell) -> bool:
    try:
        return cell.read() is not None
    except UnreadableImage:  # said where the mask is read
        return True
