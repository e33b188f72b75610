"""Opens any source of data: a name, a path, arrays, a data set of torch or Hugging Face, or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likewise.counts import amount
from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames
from likewise.data.encoder_range import require_encoder_range
from likewise.data.manifest import Manifest
from likewise.data.pixel_range import with_pixel_range
from likewise.data.sources import arrays
from likewise.data.sources.arrangement import SPLIT_NAMES
from likewise.data.sources.concat import as_split, concat, with_test_data
from likewise.data.sources.hugging_face import (
    PREFIXES,
    is_hugging_face,
    load_named,
    open_hugging_face,
)
from likewise.data.sources.hugging_face_streams import files_of_stream, is_stream, with_classes_of
from likewise.data.sources.label_file import with_caption_file, with_label_file
from likewise.data.sources.named_sets import NAMED_SETS
from likewise.data.sources.open_path import open_path, open_paths
from likewise.data.sources.read_labels import read_labels
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.sources.table import open_arrow, open_dataframe
from likewise.data.sources.torch_dataset import is_map_style, open_dataset
from likewise.data.sources.urls import is_url
from likewise.errors import LikewiseError
from likewise.field_types import typed_arguments

Source = Any
"""A name, a path (or several of Parquet files or tar archives), images, a pair of images and labels, a data set, a
table, or a dictionary of such by split."""


@typed_arguments()
def open_manifest(
    data: Source,
    labels: str | Path | np.ndarray | Tensor | Sequence[Any] | None = None,
    test_data: Source | None = None,
    captions: str | Path | None = None,
    columns: ColumnNames = USUAL_COLUMNS,
    pixel_range: tuple[float, float] | None = None,
    allow_mixed: bool = False,
    cache: ShardCache | None = None,
) -> Manifest:
    """List the examples of a source.

    Args:
        data: a built-in data set; a folder of images; a CSV of paths with labels or captions; Parquet files or tar
            archives of WebDataset (one, a list, a pattern, or a folder of them), also by URL; ``.npy``, ``.npz`` or
            ``.pt``; images as an array or tensor; a pair (images, labels); a map-style torch data set, also a list of
            images or of pairs (image, label); a ``datasets.Dataset`` or ``DatasetDict``, also streamed, or ``hf:`` and
            its name; a pandas DataFrame or pyarrow Table; or any of these by split, ``{"train": ..., "test": ...}``.
        labels: a CSV of paths and labels for the images of ``data``, or one label for each.
        test_data: a second source, whose test split (or all of it, if it has none) becomes the test split.
        captions: a CSV of paths and captions for the images of ``data``.
        columns: which columns of CSVs, Parquet files and tables hold what, where their names do not say.
        pixel_range: values of pixels that become black and white, where they have more than 8 bits; None: found in the
            set, see `likewise.data.pixel_range.with_pixel_range`.
        allow_mixed: take kinds of pixels together that have no one scale, as ``likewise.doctor`` does to name them.
        cache: where remote files are copied to; None: `ShardCache.of`.

    Raises:
        LikewiseError: there is no such thing, nothing usable in it, or labels that do not fit it.
    """
    cache = cache or ShardCache.of()
    of_data, of_labels, of_captions = _columns_of_each(columns, labels, captions)
    manifest = _open(data, of_data, cache)
    if labels is not None:
        manifest = _with_labels(manifest, labels, data, of_labels)
    if captions is not None:
        manifest = with_caption_file(
            manifest, Path(captions).expanduser(), _folder(data), of_captions
        )
    if test_data is not None:
        manifest = with_test_data(manifest, _open(test_data, of_data, cache))
    return with_pixel_range(manifest, pixel_range, allow_mixed)


def _columns_of_each(
    columns: ColumnNames, labels: Any, captions: Any
) -> tuple[ColumnNames, ColumnNames, ColumnNames]:
    """The columns that were named, for the data, a file of labels and a file of captions: the file has those it may."""
    of_data, of_captions = columns, columns._replace(label=None, group=None)
    if isinstance(labels, (str, Path)):
        of_data = of_data._replace(path=None, label=None, group=None)
        of_captions = of_captions._replace(path=None)
    if captions is not None:
        of_data = of_data._replace(path=None, caption=None)
    return of_data, columns._replace(caption=None), of_captions


def open_for_encoder(
    data: Source,
    trained: tuple[float, float] | None,
    given: tuple[float, float] | None = None,
    **sources: Any,
) -> Manifest:
    """List the examples for an encoder that has been trained: pixels are scaled by its range, or by a given one.

    Args:
        data: as for `open_manifest`.
        trained: the encoder's pixel range; None: it was trained on 8-bit images.
        given: values that become black and white, where those of the encoder's range are not to.
        **sources: other arguments of `open_manifest`.

    Raises:
        LikewiseError: as `open_manifest` does; or as `likewise.data.encoder_range.require_encoder_range` does.
    """
    manifest = open_manifest(data, pixel_range=trained if given is None else given, **sources)
    require_encoder_range(manifest, trained, given)
    return manifest


def _open(data: Any, columns: ColumnNames, cache: ShardCache) -> Manifest:
    if isinstance(data, Manifest):
        return data
    if isinstance(data, (str, Path)):
        text = str(data)
        if text.startswith(PREFIXES) and not is_url(text):
            return _open(load_named(text), columns, cache)
        return open_path(text, columns, cache)
    if isinstance(data, (np.ndarray, Tensor)):
        columns.refuse("an array")
        return arrays.open_arrays(data, task=columns.task)
    if isinstance(data, Image.Image):
        return _open([data], columns, cache)
    if isinstance(data, (tuple, list)) and data:
        return _open_sequence(data, columns, cache)
    if isinstance(data, Mapping):
        return _open_by_split(data, columns, cache)
    return _open_foreign(data, columns, cache)


def _open_sequence(data: Sequence[Any], columns: ColumnNames, cache: ShardCache) -> Manifest:
    """Several paths or URLs, a list of examples, or a pair of images and labels."""
    if all(isinstance(part, (str, Path)) for part in data):
        return open_paths([str(part) for part in data], columns, cache)
    _refuse_data_sets(data)
    is_pair = len(data) == 2 and not isinstance(data[0], Image.Image | Mapping)
    if isinstance(data, list) and not is_pair:
        columns.refuse("a list")
        return open_dataset(data, columns.missing_labels)
    if len(data) == 2:
        return arrays.open_arrays(*data, task=columns.task, missing=columns.missing_labels)
    return _open_foreign(data, columns, cache)


def _refuse_data_sets(parts: Sequence[Any]) -> None:
    """Refuse data sets in a row, as ``random_split`` and ``load_dataset(split=[...])`` give them."""
    kinds = [
        type(part).__name__
        for part in parts
        if isinstance(part, Dataset | DataLoader) or is_hugging_face(part)
    ]
    if kinds:
        raise LikewiseError(
            f"{amount(len(parts), 'part')} were given in a {type(parts).__name__}, of which {kinds[0]} is a data set. "
            f"Name the splits, {{'train': ..., 'test': ...}}; give labels of one's own as labels=; or join parts of "
            f"one split by torch.utils.data.ConcatDataset."
        )


def _open_foreign(data: Any, columns: ColumnNames, cache: ShardCache) -> Manifest:
    """Data sets and tables of other libraries."""
    if is_hugging_face(data) and is_stream(data):
        of_files = _open(files_of_stream(data), columns, cache)
        return as_split(with_classes_of(of_files, data), "train")
    if is_hugging_face(data):
        return open_hugging_face(data, columns)
    if _library_of(data) == "pandas":
        return open_dataframe(data, columns)
    if hasattr(data, "__arrow_c_stream__"):  # tables of pyarrow, polars and others
        return open_arrow(_arrow_table(data), columns)
    if isinstance(data, Dataset | DataLoader) or (
        is_map_style(data) and not isinstance(data, (tuple, list, bytes))
    ):
        columns.refuse(f"a data set of type {type(data).__name__}")
        return open_dataset(data, columns.missing_labels)
    raise LikewiseError(
        f"Data of type {type(data).__name__} was given. Allowed: a name ({', '.join(sorted(NAMED_SETS))}), a path, "
        f"an array or tensor of images, a pair of images and labels, a list of images or of pairs (image, label), a "
        f"map-style torch data set, a Hugging Face data "
        f"set, a pandas or pyarrow table, or a dictionary of such by split."
    )


def _library_of(data: Any) -> str:
    return type(data).__module__.partition(".")[0]


def _arrow_table(data: Any) -> Any:
    import pyarrow as pa  # slow to import

    return data if isinstance(data, pa.Table) else pa.table(data)


def _open_by_split(parts: Mapping[Any, Any], columns: ColumnNames, cache: ShardCache) -> Manifest:
    """Several sources, each a split of its own: ``{"train": ..., "test": ...}``."""
    unknown = [str(name) for name in parts if str(name).lower() not in SPLIT_NAMES]
    if unknown or not parts:
        raise LikewiseError(
            f"A dictionary with the keys {', '.join(map(str, parts)) or 'none'} was given as data. Its keys are the "
            f"splits train, val, test and unlabelled, for instance {{'train': data['train'], 'test': data['test']}}."
        )
    opened = []
    for name, part in parts.items():
        manifest = _open(part, columns, cache)
        opened.append(as_split(manifest, SPLIT_NAMES[str(name).lower()]))
    return concat(opened, opened[0].source)


def _with_labels(manifest: Manifest, labels: Any, data: Any, columns: ColumnNames) -> Manifest:
    if isinstance(labels, (str, Path)):
        return with_label_file(manifest, Path(labels).expanduser(), _folder(data), columns)
    given = read_labels(labels, "labels", task=columns.task, missing=columns.missing_labels)
    if len(given.numbers) != len(manifest):
        raise LikewiseError(
            f"{amount(len(manifest), 'image')}, but {amount(len(given.numbers), 'label')}. "
            f"Give one for each, -1 for none."
        )
    labelled = manifest.with_labels(given.numbers, given.class_names)
    return replace(
        labelled,
        columns={**manifest.columns, **given.columns},
        notes=(*manifest.notes, *given.notes),
    )


def _folder(data: Any) -> Path | None:
    """The folder that was named, if it was one."""
    folder = Path(data).expanduser() if isinstance(data, (str, Path)) else None
    return folder if folder and folder.is_dir() else None
