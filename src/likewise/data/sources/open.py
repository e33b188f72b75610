"""Opens any source of data: a name, a path, arrays, a data set of torch or Hugging Face, or a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames
from likewise.data.encoder_range import require_encoder_range
from likewise.data.manifest import Manifest
from likewise.data.pixel_range import with_pixel_range
from likewise.data.pixel_source import FilePixels
from likewise.data.sources import arrays
from likewise.data.sources.arrangement import SPLIT_NAMES
from likewise.data.sources.concat import concat, with_test_data
from likewise.data.sources.file_listing import SUFFIXES as IMAGE_SUFFIXES
from likewise.data.sources.file_listing import find_files, is_example
from likewise.data.sources.folder import open_folder
from likewise.data.sources.header_scan import scan_files
from likewise.data.sources.hugging_face import (
    PREFIXES,
    is_hugging_face,
    load_named,
    open_hugging_face,
)
from likewise.data.sources.hugging_face_streams import files_of_stream, is_stream, with_classes_of
from likewise.data.sources.label_file import (
    LISTS,
    is_label_file,
    open_label_file,
    with_caption_file,
    with_label_file,
)
from likewise.data.sources.named_sets import NAMED_SETS, named_set
from likewise.data.sources.read_labels import read_labels
from likewise.data.sources.remote import open_remote
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.sources.shard_index import SUFFIX as INDEX_SUFFIX
from likewise.data.sources.shards import find_shards, split_of
from likewise.data.sources.table import open_arrow, open_dataframe
from likewise.data.sources.torch_dataset import is_map_style, open_dataset
from likewise.data.sources.urls import is_url, without_braces
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.errors import DataNotFound, LikewiseError, did_you_mean
from likewise.field_types import typed_arguments
from likewise.vectors.vectors import is_vector_file

Source = Any
"""A name, a path (or several of Parquet files or tar archives), images, a pair of images and labels, a data set, a
table, or a dictionary of such by split."""

SHARDS = {".parquet", ".tar"}
"""endings of files that hold many images each"""


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
        return _open_path(str(data), columns, cache)
    if isinstance(data, (np.ndarray, Tensor)):
        columns.refuse("an array")
        return arrays.open_arrays(data, task=columns.task)
    if (
        isinstance(data, (tuple, list))
        and data
        and all(isinstance(part, (str, Path)) for part in data)
    ):
        if all(is_url(str(part)) for part in data):
            return open_remote(
                list(map(str, data)), f"{data[0]} and {len(data) - 1} more", columns, cache
            )
        return _open_files(
            [Path(part) for part in data], f"{data[0]} and {len(data) - 1} more", columns
        )
    if isinstance(data, Image.Image):
        return _open([data], columns, cache)
    if (
        isinstance(data, list)
        and data
        and (len(data) != 2 or isinstance(data[0], Image.Image | Mapping))
    ):
        columns.refuse("a list")
        return open_dataset(data, columns.missing_labels)
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return arrays.open_arrays(*data, task=columns.task, missing=columns.missing_labels)
    if isinstance(data, Mapping):
        return _open_by_split(data, columns, cache)
    return _open_foreign(data, columns, cache)


def _open_foreign(data: Any, columns: ColumnNames, cache: ShardCache) -> Manifest:
    """Data sets and tables of other libraries."""
    if is_hugging_face(data) and is_stream(data):
        of_files = _open(files_of_stream(data), columns, cache)
        return _as_split(with_classes_of(of_files, data), "train")
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
    opened = [
        _as_split(_open(part, columns, cache), SPLIT_NAMES[str(name).lower()])
        for name, part in parts.items()
    ]
    return concat(opened, opened[0].source)


def _as_split(manifest: Manifest, split: str) -> Manifest:
    """All of a manifest's examples as one split."""
    if split == "unlabelled":
        return replace(
            manifest,
            splits=np.full(len(manifest), "train"),
            labels=torch.full_like(manifest.labels, -1),
        )
    return replace(manifest, splits=np.full(len(manifest), split))


def _open_path(text: str, columns: ColumnNames, cache: ShardCache) -> Manifest:
    """A built-in data set, or the data at a path or URL; ``./name`` is a path even where a set has that name."""
    path = Path(text).expanduser()
    if is_url(text):
        return open_remote([text], text, columns, cache)
    if text.startswith(PREFIXES):
        return _open(load_named(text), columns, cache)
    if text in NAMED_SETS:
        columns.refuse(text)
        return named_set(text)
    if path.is_dir():
        return _open_directory(path, text, columns)
    if path.is_file():
        return _open_files([path], text, columns)
    if path.exists():
        raise LikewiseError(
            f"{text} is no folder and no regular file but a pipe, a socket or a device. Give a file or a folder."
        )
    if any(mark in text for mark in "*?[{"):
        return _open_files(_matching(str(path)), text, columns)
    raise DataNotFound(
        f"There is no file or folder {text}, and no data set of that name. {did_you_mean(text, NAMED_SETS)}"
    )


def _matching(pattern: str) -> list[Path]:
    """The files that a pattern names, with braces (``{0000..0099}``, ``{train,test}``) and with stars."""
    found = list[Path]()
    for part in map(Path, without_braces(pattern)):
        has_stars = any(mark in str(part) for mark in "*?[")
        found += (
            sorted(Path(part.anchor or ".").glob(str(part.relative_to(part.anchor))))
            if has_stars
            else [part]
        )
    # A star may name what lies next to shards.
    return [path for path in found if not path.name.endswith(INDEX_SUFFIX)]


def _open_directory(folder: Path, source: str, columns: ColumnNames) -> Manifest:
    """A folder of images or videos, or of Parquet files or tar archives if it holds neither."""
    loose = any(is_example(path) for path in find_files(folder))
    shards = (
        {}
        if loose
        else {suffix: files for suffix in SHARDS if (files := find_shards(folder, suffix))}
    )
    if not shards:
        columns.refuse(source)
        return open_folder(folder)
    if len(shards) > 1:
        raise LikewiseError(
            f"{source} holds {' and '.join(shards)} files. Name those of one kind: {source}/*.tar."
        )
    return _open_shards(*shards.popitem(), source, columns)


def _open_shards(suffix: str, files: Sequence[Path], source: str, columns: ColumnNames) -> Manifest:
    if suffix == ".tar":
        from likewise.data.sources.webdataset import open_webdataset

        columns.refuse(source)
        return open_webdataset(files, source, columns.missing_labels)
    from likewise.data.sources.parquet import has_images, open_parquet  # pyarrow is slow to import

    if is_vector_file(files[0]):
        raise LikewiseError(
            f"{source} holds vectors, which likewise embed wrote, and no images. Give the images. What takes vectors: "
            f"likewise search RUN IMAGE --in {source}, and likewise predict RUN {source}."
        )
    if not has_images(files[0]):
        return concat([_open_paths(file, columns) for file in files], source)
    columns.refuse_text_columns(source)
    return open_parquet(files, source, columns)


def _open_paths(file: Path, columns: ColumnNames) -> Manifest:
    """A Parquet file of paths, whose split is read off its name where no column says it."""
    manifest = open_label_file(file, columns)
    if set(manifest.splits.tolist()) != {"train"}:
        return manifest
    return _as_split(manifest, split_of(file.name))


def _open_files(files: Sequence[Path], source: str, columns: ColumnNames) -> Manifest:
    missing = [str(file) for file in files if not file.is_file()]
    if missing or not files:
        raise LikewiseError(f"There is no file {missing[0] if missing else source}.")
    kinds = {file.suffix.lower() for file in files}
    if len(kinds) == 1 and kinds <= SHARDS:
        return _open_shards(kinds.pop(), files, source, columns)
    if len(files) == 1 and (is_label_file(files[0]) or files[0].suffix.lower() in LISTS):
        return open_label_file(files[0], columns)
    columns.refuse(source)
    if kinds <= IMAGE_SUFFIXES or kinds <= VIDEO_SUFFIXES:
        return _open_images(files, source)
    if kinds <= set(arrays.SUFFIXES):
        return concat(
            [part for file in files for part in arrays.open_array_file(file, columns)], source
        )
    raise LikewiseError(
        f"{source} cannot be read: files ending in {', '.join(sorted(kinds))} were given; allowed: images, videos, "
        f".parquet, .tar, {', '.join(arrays.SUFFIXES)}, or one .csv (.tsv, .txt, .lst, .jsonl, .json) of "
        f"paths, with labels or captions or without."
    )


def _open_images(files: Sequence[Path], source: str) -> Manifest:
    """Single image files."""
    scan = scan_files(files)
    if scan.refused:
        first, reason = next(iter(scan.refused.items()))
        raise LikewiseError(f"{files[first]} cannot be used: {reason}.")
    return Manifest(
        source=source,
        pixels=FilePixels(files, scan.headers),
        labels=torch.full((len(files),), UNLABELLED),
        splits=np.full(len(files), "train"),
        ids=[str(file) for file in files],
    )


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
