"""Opens what a path, a URL or the name of a built-in data set stands for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from likewise.data.batch import UNLABELLED
from likewise.data.columns.column_names import ColumnNames
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import FilePixels
from likewise.data.sources import arrays
from likewise.data.sources.concat import as_split, concat
from likewise.data.sources.file_listing import SUFFIXES as IMAGE_SUFFIXES
from likewise.data.sources.file_listing import find_files, is_example
from likewise.data.sources.folder import open_folder
from likewise.data.sources.header_scan import scan_files
from likewise.data.sources.label_file import LISTS, is_label_file, open_label_file
from likewise.data.sources.named_sets import NAMED_SETS, named_set
from likewise.data.sources.remote import open_remote
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.sources.shard_index import SUFFIX as INDEX_SUFFIX
from likewise.data.sources.shards import find_shards, split_of
from likewise.data.sources.urls import is_url, without_braces
from likewise.data.video.video_decoding import SUFFIXES as VIDEO_SUFFIXES
from likewise.errors import DataNotFound, LikewiseError, did_you_mean
from likewise.vectors.vectors import is_vector_file

SHARDS = {".parquet", ".tar"}
"""endings of files that hold many images each"""


def open_path(text: str, columns: ColumnNames, cache: ShardCache) -> Manifest:
    """A built-in data set, or the data at a path or URL; ``./name`` is a path even where a set has that name."""
    path = Path(text).expanduser()
    if is_url(text):
        return open_remote([text], text, columns, cache)
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


def open_paths(paths: Sequence[str], columns: ColumnNames, cache: ShardCache) -> Manifest:
    """Several files, or several URLs, as one set."""
    source = f"{paths[0]} and {len(paths) - 1} more"
    if all(map(is_url, paths)):
        return open_remote(list(paths), source, columns, cache)
    return _open_files(list(map(Path, paths)), source, columns)


def _matching(pattern: str) -> list[Path]:
    """The files that a pattern names, with braces (``{0000..0099}``, ``{train,test}``) and with stars."""
    found = list[Path]()
    for part in map(Path, without_braces(pattern)):
        if any(mark in str(part) for mark in "*?["):
            start = Path(part.anchor or ".")
            found += sorted(start.glob(str(part.relative_to(part.anchor))))
        else:
            found.append(part)
    # A star may name what lies next to shards.
    return [path for path in found if not path.name.endswith(INDEX_SUFFIX)]


def _open_directory(folder: Path, source: str, columns: ColumnNames) -> Manifest:
    """A folder of images or videos, or of Parquet files or tar archives if it holds neither."""
    shards = dict[str, list[Path]]()
    if not any(is_example(path) for path in find_files(folder)):
        by_suffix = {suffix: find_shards(folder, suffix) for suffix in SHARDS}
        shards = {suffix: files for suffix, files in by_suffix.items() if files}
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
        return concat([_open_table(file, columns) for file in files], source)
    columns.refuse_text_columns(source)
    return open_parquet(files, source, columns)


def _open_table(file: Path, columns: ColumnNames) -> Manifest:
    """A Parquet file of paths, whose split is read off its name where no column says it."""
    manifest = open_label_file(file, columns)
    if set(manifest.splits.tolist()) != {"train"}:
        return manifest
    return as_split(manifest, split_of(file.name))


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
        opened = [arrays.open_array_file(file, columns) for file in files]
        return concat(list(chain.from_iterable(opened)), source)
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
