"""Streams of the library datasets (``streaming=True``): their files are read as shards, so that runs can be resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import torch

from likewise.data.batch import UNLABELLED
from likewise.data.manifest import Manifest
from likewise.errors import LikewiseError

FILE_ARGUMENTS = ("files", "tar_paths")
"""What the library's readers of Parquet files and of WebDataset archives call their files."""
SUFFIXES = {".parquet", ".tar"}

REORDERING = {
    "ArrowExamplesIterable",
    "ExamplesIterable",
    "BufferShuffledExamplesIterable",
    "InterleavedShardsExamplesIterable",
    "RebatchedArrowExamplesIterable",
}
"""Steps of a stream that leave every example as it is in the files."""

CALLS = {
    "MappedExamplesIterable": "map()",
    "FilteredExamplesIterable": "filter()",
    "SelectColumnsIterable": "select_columns()",
    "TakeExamplesIterable": "take()",
    "SkipExamplesIterable": "skip()",
    "RepeatExamplesIterable": "repeat()",
    "StepExamplesIterable": "shard()",
}
"""How other steps are called."""


def is_stream(data: Any) -> bool:
    """Whether a data set of the library is a stream, which has no length."""
    return not hasattr(data, "__len__")


def files_of_stream(stream: Any) -> list[str]:
    """The Parquet files or tar archives that a ``datasets.IterableDataset`` reads, sorted.

    Shuffling is left to the run, which has a seed and a window of its own. So the steps of a run are known, and can be
    cut by process and resumed in the middle of an epoch.

    Args:
        stream: as ``load_dataset(..., streaming=True)`` gives it.

    Raises:
        LikewiseError: the stream changes or chooses examples, or is made of other files.
    """
    steps = list(_steps(stream._ex_iterable))
    changing = next(
        (type(step).__name__ for step in steps if type(step).__name__ not in REORDERING), None
    )
    if changing is not None:
        raise _without_positions(f"goes through {CALLS.get(changing, changing)}")
    if _is_begun(stream):
        raise _without_positions("begins in the middle, or belongs to one process of several")
    reader = steps[-1]
    if _chooses(reader):
        raise _without_positions("leaves out rows or columns of its files")
    files = [str(file) for name in FILE_ARGUMENTS for file in reader.kwargs.get(name, ())]
    if (
        not files
        or {PurePosixPath(file).suffix.lower() for file in files} - SUFFIXES
        or any("::" in f for f in files)
    ):
        raise _without_positions("is not made of Parquet files or tar archives alone")
    return sorted(files)


def with_classes_of(manifest: Manifest, stream: Any) -> Manifest:
    """The class names of the stream's features, whatever the files call the numbers that they hold."""
    features = (stream.features or {}).values()
    names = next(
        (tuple(feature.names) for feature in features if type(feature).__name__ == "ClassLabel"), ()
    )
    in_files = manifest.class_names
    numbers = (
        list(map(int, in_files))
        if all(map(str.isdecimal, in_files))
        else list(range(len(in_files)))
    )
    if in_files == names or any(number >= len(names) for number in numbers):
        return manifest
    known = torch.tensor([*numbers, UNLABELLED])  # the last is that of -1
    return manifest.with_labels(known[manifest.labels], names)


def _steps(step: Any) -> Iterator[Any]:
    """A stream's steps, from its end to its reader."""
    while step is not None:
        yield step
        step = getattr(step, "ex_iterable", None)


def _is_begun(stream: Any) -> bool:
    state = (getattr(stream, name, None) for name in ("_starting_state_dict", "_distributed"))
    return any(value is not None for value in state)


def _chooses(reader: Any) -> bool:
    """Whether a reader of Parquet files was given ``columns``, ``filters`` or row groups."""
    make = getattr(reader, "generate_tables_fn", None)
    config = getattr(getattr(make, "__self__", None), "config", None)
    given = (getattr(config, name, None) for name in ("columns", "filters"))
    groups = getattr(reader, "kwargs", {}).get("row_groups_list") or ()
    return any(value is not None for value in (*given, *groups))


def _without_positions(why: str) -> LikewiseError:
    return LikewiseError(
        f"A stream (datasets.IterableDataset) was given that {why}, so the place of its examples is not known, and a "
        f"run could not be resumed. Write it once, stream.to_parquet('stream.parquet'), and give that file. Or give "
        f"the stream as load_dataset(..., streaming=True) made it, of Parquet files or WebDataset archives: it is "
        f"shuffled and cut by process here."
    )
