"""Images and labels in the columns of a table in memory: a pandas DataFrame, a pyarrow Table, a polars DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.columns.captions import CAPTIONS, COLUMN_NAMES, Captions
from likewise.data.columns.column import Column
from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames
from likewise.data.columns.groups import GROUP, Groups
from likewise.data.columns.missing_labels import is_null
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import Headers
from likewise.data.sources.arrangement import SPLIT_NAMES
from likewise.data.sources.header_scan import scan
from likewise.data.sources.image_values import ImageValues, ValuePixels, fill_headers, header_of
from likewise.data.sources.read_labels import Labels, read_labels
from likewise.data.sources.shards import FIRST, LOOK_LIMIT, with_headers
from likewise.data.sources.usual_label_column import label_column_note, usual_label_column
from likewise.errors import LikewiseError, did_you_mean

IMAGE_COLUMNS = (
    "image",
    "img",
    "images",
    "picture",
    "pixels",
    "image_path",
    "path",
    "file_name",
    "filename",
    "file",
)
"""what a column of images or of their paths may be called, the first that is there"""
SPLIT_COLUMN = "split"


class Table(NamedTuple):
    """Columns by name, however they are stored."""

    source: str
    """what errors call it"""
    names: Sequence[str]
    rows: int
    num_bytes: int
    column: Callable[[str], Sequence[Any]]
    """the values of a column that is small: labels, splits, captions"""
    images: Callable[[str], ImageValues]
    """the values of a column of images, read by row"""
    class_names: Mapping[str, tuple[str, ...]] = {}
    """class names of label columns, where the table has them"""
    image: str | None = None
    """the column of images, where the table says which it is"""


def open_dataframe(frame: Any, columns: ColumnNames = USUAL_COLUMNS) -> Manifest:
    """The images of a pandas DataFrame; see `open_table`."""

    def values(name: str) -> Sequence[Any]:
        return [None if is_null(value) else value for value in frame[name].tolist()]

    names = [str(name) for name in frame.columns]
    return open_table(Table("the DataFrame", names, len(frame), 0, values, values), columns)


def open_arrow(table: Any, columns: ColumnNames = USUAL_COLUMNS) -> Manifest:
    """The images of a pyarrow Table; see `open_table`."""
    from likewise.data.columns.parquet_schema import class_names_of

    classes = class_names_of(table.schema)
    return open_table(
        Table(
            source="the table",
            names=table.column_names,
            rows=table.num_rows,
            num_bytes=table.nbytes,
            column=lambda name: table.column(name).to_pylist(),
            images=lambda name: _ArrowValues(table.column(name)),
            class_names={name: tuple(names) for name, names in classes.items()},
        ),
        columns,
    )


class _ArrowValues:
    """A pyarrow column, each value of which becomes a Python object when it is requested."""

    def __init__(self, column: Any) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: int) -> Any:
        return self.column[row].as_py()


def open_table(table: Table, columns: ColumnNames = USUAL_COLUMNS) -> Manifest:
    """The images of a table.

    One column has images: PIL images, arrays, bytes of image files, dictionaries ``{bytes, path}``, or paths, which
    begin at the working directory. Labels, splits (train, val, test), groups and captions may stand in others.

    Args:
        table: the table.
        columns: which columns hold images or their paths, labels and groups, where these are not called as usual.

    Raises:
        LikewiseError: no column of images, a column that was named is not there, or values that do not fit.
    """
    image = columns.path or _image_column(table)
    label = columns.label or usual_label_column(table.names, table.class_names)
    for option in ("path", "label", "group"):
        name = getattr(columns, option)
        if name is not None and name not in table.names:
            raise LikewiseError(
                f"{option}_column={name!r}: there is no such column. {did_you_mean(name, table.names)}"
            )
    splits, unlabelled = _splits(table)
    labels = _labels(table, label, columns)
    labels.numbers[torch.from_numpy(unlabelled)] = UNLABELLED
    values = table.images(image)
    ids, repeats = _ids(table, image)
    unread = Headers.unread(table.rows)
    manifest = Manifest(
        source=table.source,
        pixels=ValuePixels(
            values, np.arange(table.rows), unread, f"{table.source}, column {image!r}"
        ),
        labels=labels.numbers,
        splits=splits,
        ids=ids,
        class_names=labels.class_names,
        notes=(*_label_note(table, image, label, columns), *labels.notes, *repeats),
        columns={**_other_columns(table, columns.group, image), **labels.columns},
    )
    return _with_headers(manifest, values, is_large=table.num_bytes > LOOK_LIMIT)


def _with_headers(manifest: Manifest, values: ImageValues, is_large: bool) -> Manifest:
    count = min(len(manifest), FIRST) if is_large else len(manifest)
    if not count:
        raise LikewiseError(f"{manifest.source}: there is no image in it.")
    found = scan(lambda row: header_of(values[row], f"{manifest.source}, row {row}"), count)
    return fill_headers(with_headers(manifest, np.arange(count), found))


def _image_column(table: Table) -> str:
    named = next((name for name in IMAGE_COLUMNS if name in table.names), None)
    by_type = (name for name in table.names if table.rows and _holds_image(table.images(name)[0]))
    found = table.image or named or next(by_type, None)
    if found is None:
        raise LikewiseError(
            f"{table.source} has no column of images. Columns found: {', '.join(table.names)}. Call the column of "
            f"images image, or that of their paths image_path; or name it: path_column='NAME'."
        )
    return found


def _holds_image(value: Any) -> bool:
    is_encoded = isinstance(value, bytes) or (isinstance(value, Mapping) and "bytes" in value)
    is_array = isinstance(value, np.ndarray | Tensor) and value.ndim >= 2
    return is_encoded or is_array or isinstance(value, Image.Image)


def _label_note(table: Table, image: str, label: str | None, columns: ColumnNames) -> list[str]:
    """A note where labels could stand in a column that was not read."""
    if columns.label is not None:
        return []
    known = {image, label, columns.group, SPLIT_COLUMN, GROUP, *COLUMN_NAMES}
    return label_column_note(
        table.source, label, [name for name in table.names if name not in known], table.class_names
    )


def _labels(table: Table, name: str | None, columns: ColumnNames) -> Labels:
    if name is None:
        return Labels(torch.full((table.rows,), UNLABELLED), (), {})
    declared = table.class_names.get(name, ())
    return read_labels(
        table.column(name), f"the column {name!r}", declared, columns.task, columns.missing_labels
    )


def _splits(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """The split of each row, str [N], and which rows are training images without label, bool [N]."""
    if SPLIT_COLUMN not in table.names:
        return np.full(table.rows, "train"), np.zeros(table.rows, dtype=bool)
    given = [str(value or "train").strip().lower() for value in table.column(SPLIT_COLUMN)]
    unknown = sorted(set(given) - set(SPLIT_NAMES))
    if unknown:
        raise LikewiseError(
            f"{table.source}, column {SPLIT_COLUMN!r}: {unknown[0]!r} is no split. Allowed: train, val, test, "
            f"unlabelled."
        )
    named = np.array([SPLIT_NAMES[value] for value in given], dtype="U16")
    unlabelled = named == "unlabelled"
    return np.where(unlabelled, "train", named), unlabelled


def _other_columns(table: Table, group: str | None, image: str) -> dict[str, Column]:
    found: dict[str, Column] = {}
    group = group or (GROUP if GROUP in table.names else None)
    if group is not None:
        found[GROUP] = Groups.of(table.column(group))
    caption = next((name for name in COLUMN_NAMES if name in table.names and name != image), None)
    if caption is not None:
        captions = Captions.of(table.column(caption))
        if captions.present().any():
            found[CAPTIONS] = captions
    return found


def _ids(table: Table, image: str) -> tuple[list[str], tuple[str, ...]]:
    """The paths where images are files, those that repeat another with their row; else the row numbers. And a note."""
    values = table.images(image)
    present = (value for row in range(table.rows) if (value := values[row]) is not None)
    if not isinstance(next(present, None), str):
        return [str(row) for row in range(table.rows)], ()
    ids, seen = list[str](), set[str]()
    for row, path in enumerate(table.column(image)):
        name = path if isinstance(path, str) else str(row)
        ids.append(f"{name} (row {row})" if name in seen else name)
        seen.add(name)
    repeats = table.rows - len(seen)
    if not repeats:
        return ids, ()
    return ids, (
        f"{table.source}: {amount(repeats, 'row')} with an image of another row; its name ends in the row's number",
    )
