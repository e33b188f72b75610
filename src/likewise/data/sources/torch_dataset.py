"""Map-style torch data sets, including torchvision's."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, IterableDataset, Subset

from likewise.data.columns.column_names import MissingLabels
from likewise.data.columns.missing_labels import Reading, with_none_for_missing
from likewise.data.decode_file import UnreadableImage
from likewise.data.even_sample import evenly_spaced
from likewise.data.manifest import Manifest
from likewise.data.pixel_source import Headers
from likewise.data.sources.header_scan import Header, Scan
from likewise.data.sources.image_values import ValuePixels, fill_headers, header_of
from likewise.data.sources.read_labels import listed, numbered
from likewise.data.sources.shards import FIRST, with_headers
from likewise.errors import LikewiseError

IMAGE_KEYS = ("image", "img", "images", "pixel_values", "x")
LABEL_KEYS = ("label", "labels", "target", "targets", "y")
"""Keys of items that are dictionaries, the first that is there."""


class Item(NamedTuple):
    """One item of a data set."""

    image: Any
    label: Any
    """None where it has none"""


class DatasetImages:
    """The images of a data set's items, read one at a time.

    Data sets are written to be read by worker processes, not by threads: torchvision's FakeData, for instance, sets
    the global seed. So there is a lock; a copy that is sent to another process has its own.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {"dataset": self.dataset}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: int) -> Any:
        """The image of one item."""
        return self.item(row).image

    def item(self, row: int) -> Item:
        """One item, read now."""
        with self._lock:
            return parts_of(self.dataset[row])


def is_map_style(data: Any) -> bool:
    """Whether something can be read as a map-style data set: it has a length and items by position."""
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")


def open_dataset(dataset: Any, missing: MissingLabels = "unlabelled") -> Manifest:
    """The examples of a map-style data set.

    An item is an image, a tuple (image, label), or a dictionary with ``image`` and ``label``. Labels are class numbers
    or names. Where the data set has them as ``targets`` or ``labels`` and they agree with its items, its items are not
    all read for them; class names are its ``classes``. An id is the item's position in the innermost data set.

    Args:
        dataset: the data set.
        missing: what NaN, NA, N/A, None and null in text mean.

    Raises:
        LikewiseError: a stream, a DataLoader, an empty set, or items that are not as described.
    """
    name = _name(dataset)
    _refuse_streams(dataset, name)
    if not len(dataset):
        raise LikewiseError(f"{name}: there is no image in it.")
    images = DatasetImages(dataset)
    labels = known_labels(dataset)
    count = len(dataset)
    looked = evenly_spaced(count, FIRST) if labels is not None else np.arange(count)
    items = _look(images, looked, dataset, name)
    if labels is not None and not _agree(labels, looked, items):
        labels, looked = None, np.arange(count)
        items = _look(images, looked, dataset, name)
    declared = _declared_classes(dataset)
    listed_labels = labels if labels is not None else [item.label for item in items]
    given, told = with_none_for_missing(listed_labels, Reading(missing, declared=declared))
    numbers, class_names = numbered(given, _class_names(declared, given), name)
    manifest = Manifest(
        source=name,
        pixels=ValuePixels(images, np.arange(count), Headers.unread(count), name),
        labels=numbers,
        splits=np.full(count, "train"),
        ids=_ids(dataset),
        class_names=class_names,
        notes=(*_notes(dataset), *(f"{name}: {note}" for note in told)),
    )
    found = Scan.of([item.header for item in items])
    return fill_headers(with_headers(manifest, looked, found))


def parts_of(item: Any) -> Item:
    """Image and label of one item.

    Raises:
        LikewiseError: a dictionary without an image.
    """
    if isinstance(item, Mapping):
        image = next((item[key] for key in IMAGE_KEYS if key in item), None)
        if image is None:
            raise LikewiseError(
                f"An item with the keys {', '.join(map(str, item)) or 'none'} was given; its image has to be called "
                f"{' or '.join(IMAGE_KEYS)}."
            )
        return Item(image, _scalar(next((item[key] for key in LABEL_KEYS if key in item), None)))
    if isinstance(item, tuple | list) and item:
        return Item(item[0], _scalar(item[1]) if len(item) > 1 else None)
    return Item(item, None)


def known_labels(dataset: Any) -> list[Any] | None:
    """Labels that a data set lists apart from its items; None where only the items have them."""
    if isinstance(dataset, Subset):
        whole = known_labels(dataset.dataset)
        return None if whole is None else [whole[int(i)] for i in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = [known_labels(part) for part in dataset.datasets]
        return (
            None
            if any(part is None for part in parts)
            else [label for part in parts for label in part or ()]
        )
    for name in ("targets", "labels"):
        value = getattr(dataset, name, None)
        if isinstance(value, Sequence | np.ndarray | Tensor) and len(value) == len(dataset):
            change = getattr(dataset, "target_transform", None)
            return [_scalar(change(label) if change else label) for label in listed(value)]
    return None


class _Looked(NamedTuple):
    """What reading one item found."""

    header: Header | str
    """of its image; the reason where it has none"""
    label: Any


def _look(images: DatasetImages, rows: np.ndarray, dataset: Any, name: str) -> list[_Looked]:
    return [_look_at(images, int(row), dataset, f"{name}, item {row}") for row in rows]


def _look_at(images: DatasetImages, row: int, dataset: Any, name: str) -> _Looked:
    try:
        item = images.item(row)
    except (LikewiseError, MemoryError):
        raise
    except Exception as error:  # whatever a user's data set raises for one bad example
        return _Looked(f"{type(error).__name__}: {error}", None)
    try:
        header = header_of(item.image, name)
    except UnreadableImage as error:
        return _Looked(str(error), item.label)
    except LikewiseError as error:
        transform = _transform(dataset)
        hint = (
            f" The data set's own transform is {_one_line(transform)}."
            if transform is not None
            else ""
        )
        raise LikewiseError(f"{error}{hint}") from error
    if header.mode.endswith("F") and "Normalize" in str(_transform(dataset)):
        raise LikewiseError(
            f"{name}: the data set's own transform normalises: {_one_line(_transform(dataset))}. Leave that step out: "
            f"the encoder normalises."
        )
    return _Looked(header, item.label)


def _agree(labels: Sequence[Any], rows: np.ndarray, items: Sequence[_Looked]) -> bool:
    """Whether a data set's list of labels says what its items say."""
    readable = [
        (row, item)
        for row, item in zip(rows.tolist(), items, strict=True)
        if isinstance(item.header, Header)
    ]
    return all(item.label == labels[row] for row, item in readable)


def _scalar(label: Any) -> Any:
    """A label as a Python number or string.

    Raises:
        LikewiseError: it is something else, for instance a one-hot vector or the boxes of a detection set.
    """
    if isinstance(label, np.generic) or (
        isinstance(label, np.ndarray | Tensor) and label.ndim == 0
    ):
        return label.item()
    if isinstance(label, np.ndarray | Tensor) and tuple(label.shape) == (1,):
        return label[0].item()
    if label is None or isinstance(label, int | float | str):
        return label
    raise LikewiseError(
        f"A label of type {type(label).__name__} was given. Allowed: a class number, a class name or None. Wrap the "
        f"data set so that an item is (image, label), or the image alone."
    )


def _declared_classes(dataset: Any) -> tuple[str, ...]:
    """The data set's ``classes``, or those of its label feature; none where it has no list of them."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    if isinstance(dataset, ConcatDataset):
        dataset = dataset.datasets[0]
    classes = getattr(dataset, "classes", None) or _feature_names(dataset)
    if not isinstance(classes, Sequence) or isinstance(classes, str):
        return ()
    return tuple(
        ", ".join(name) if isinstance(name, tuple | list) else str(name) for name in classes
    )


def _feature_names(dataset: Any) -> Sequence[str]:
    """The classes of a Hugging Face data set that is read through its transform."""
    features = getattr(dataset, "features", None)
    if not isinstance(features, Mapping):
        return ()
    with_names = {
        key: names for key in features if (names := getattr(features[key], "names", None))
    }
    usual = next((with_names[key] for key in LABEL_KEYS if key in with_names), None)
    only = next(iter(with_names.values())) if len(with_names) == 1 else ()
    return usual or only


def _class_names(names: tuple[str, ...], labels: Sequence[Any]) -> tuple[str, ...]:
    """Class names that a data set lists, where they name every label."""
    present = {label for label in labels if label not in (None, -1)}
    by_number = all(isinstance(label, int) and 0 <= label < len(names) for label in present)
    is_unique = len(set(names)) == len(names)
    return names if is_unique and (by_number or present <= set(names)) else ()


def _ids(dataset: Any) -> list[str]:
    """Each item's position in the innermost data set, with the number of the part in front where there are several."""
    if isinstance(dataset, Subset):
        whole = _ids(dataset.dataset)
        chosen = [whole[int(i)] for i in dataset.indices]
        return (
            chosen if len(set(chosen)) == len(chosen) else [str(row) for row in range(len(dataset))]
        )
    if isinstance(dataset, ConcatDataset):
        return [
            f"{number}/{name}"
            for number, part in enumerate(dataset.datasets)
            for name in _ids(part)
        ]
    return [str(row) for row in range(len(dataset))]


def _notes(dataset: Any) -> tuple[str, ...]:
    transform = _transform(dataset)
    if transform is None:
        return ()
    return (f"the data set's own transform is applied before the views: {_one_line(transform)}",)


def _transform(dataset: Any) -> Any:
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return getattr(dataset, "transform", None)


def _one_line(transform: Any) -> str:
    return " ".join(str(transform).split())


def _name(dataset: Any) -> str:
    return (
        f"{_name(dataset.dataset)} (subset)"
        if isinstance(dataset, Subset)
        else type(dataset).__name__
    )


def _refuse_streams(dataset: Any, name: str) -> None:
    if isinstance(dataset, DataLoader):
        raise LikewiseError(
            f"A {name} was given. Give its data set, loader.dataset: batches are made here."
        )
    if isinstance(dataset, IterableDataset) or not is_map_style(dataset):
        raise LikewiseError(
            f"{name} is a stream of examples. Give a map-style data set, which has a length and items by position: "
            f"runs are repeatable because every step's examples are known. If it reads tar archives or Parquet files, "
            f"give these: 'shards/*.tar'."
        )
