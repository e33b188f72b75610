"""Data sets of the Hugging Face library datasets: opened ones, and such that are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames
from likewise.data.manifest import Manifest
from likewise.data.sources.table import Table, open_table
from likewise.data.sources.torch_dataset import open_dataset
from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.offline import require_online, tell_clients

PREFIXES = ("hf:", "datasets:")
"""How the name of a data set begins: ``hf:owner/name``, or ``hf:owner/name:configuration``."""
INSTALL = 'pip install "likewise[datasets]"'


def is_hugging_face(data: Any) -> bool:
    """Whether something is a data set of the library datasets, or several by split; the library is not imported."""
    return type(data).__module__.partition(".")[0] == "datasets"


def load_named(name: str) -> Any:
    """The data set of a name, downloaded once by the library datasets.

    Args:
        name: ``hf:owner/name``, ``hf:owner/name:configuration``, or ``hf:folder`` of one that was saved to disk.

    Returns:
        A ``datasets.DatasetDict`` or ``datasets.Dataset``.

    Raises:
        LikewiseError: the library is not installed; or the data set is not cached and ``LIKEWISE_OFFLINE`` is set.
        EnvironmentIOError: the data set can neither be found nor downloaded.
    """
    tell_clients()
    try:
        import datasets
    except ImportError as error:
        raise LikewiseError(f"{name} needs the library datasets. Install it: {INSTALL}") from error
    wanted = name.partition(":")[2]
    folder = Path(wanted).expanduser()
    try:
        if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
            return datasets.load_from_disk(str(folder))
        dataset, _, configuration = wanted.partition(":")
        return datasets.load_dataset(dataset, configuration or None)
    except (
        Exception
    ) as error:  # the library raises errors of many kinds, its own and those of its HTTP client
        require_online(name, "give hf: and the folder of a data set that save_to_disk wrote.")
        short = name.rpartition("/")[2].replace(":", "-")
        raise EnvironmentIOError(
            f"{name} cannot be loaded ({type(error).__name__}: {error}). Check the name, or go online once so that it "
            f"is downloaded. Without a connection: where there is one, run "
            f"datasets.load_dataset({dataset_argument(wanted)}).save_to_disk({short!r}), copy the folder here, and "
            f"give hf:{short}."
        ) from error


def dataset_argument(wanted: str) -> str:
    """The arguments of ``load_dataset`` for a name."""
    return ", ".join(repr(part) for part in wanted.split(":") if part)


def open_hugging_face(dataset: Any, columns: ColumnNames = USUAL_COLUMNS) -> Manifest:
    """The examples of one ``datasets.Dataset``; `Image` and `ClassLabel` features are understood.

    A data set with a transform of its own (``set_transform``) is read through it, as any map-style data set is.

    Raises:
        LikewiseError: there is no column of images.
    """
    if dataset.format["type"] == "custom":
        columns.refuse("a data set with a transform of its own")
        return open_dataset(dataset, columns.missing_labels)
    plain = dataset.with_format(None)
    features = plain.features
    image = next(
        (name for name, feature in features.items() if type(feature).__name__ == "Image"), None
    )
    table = Table(
        source=f"the data set {dataset.info.dataset_name}"
        if dataset.info.dataset_name
        else "the data set",
        names=list(features),
        rows=len(plain),
        num_bytes=int(plain.data.nbytes),
        column=lambda name: plain.select_columns([name])[:][name],
        images=lambda name: HuggingFaceImages(plain, name),
        class_names={name: _class_names(feature) for name, feature in features.items()},
        image=image,
    )
    return open_table(table, columns)


class HuggingFaceImages:
    """A column of a ``datasets.Dataset``, read by row; images stay encoded, arrays stay arrays."""

    def __init__(self, dataset: Any, name: str) -> None:
        self.name = name
        kind = type(dataset.features[name]).__name__
        chosen = dataset.select_columns([name])
        if kind == "Image":
            import datasets

            chosen = chosen.cast_column(name, datasets.Image(decode=False))
        elif kind.startswith("Array"):
            # Without a type the library turns every integer into int64.
            chosen = chosen.with_format("numpy", dtype=np.dtype(dataset.features[name].dtype))
        self.dataset = chosen

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> Any:
        """The value of one row."""
        return self.dataset[row][self.name]


def _class_names(feature: Any) -> tuple[str, ...]:
    """The names of a ClassLabel feature."""
    return tuple(feature.names) if type(feature).__name__ == "ClassLabel" else ()
