"""Images and labels that lie in arrays, tensors, or files of them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from likewise.counts import amount
from likewise.data.columns.column_names import USUAL_COLUMNS, ColumnNames, MissingLabels
from likewise.data.columns.targets import Task
from likewise.data.manifest import Manifest
from likewise.data.pixel_arrays import batch_pixels
from likewise.data.pixel_source import ArrayPixels
from likewise.data.sources.read_labels import read_labels
from likewise.errors import LikewiseError

SUFFIXES = (".npy", ".npz", ".pt", ".pth")
IMAGE_KEYS = ("images", "image", "x", "X", "data", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "Y", "targets", "arr_1")
SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "test": "test"}


def open_arrays(
    images: Any,
    labels: Any = None,
    source: str = "arrays",
    split: str = "train",
    task: Task = "classification",
    missing: MissingLabels = "unlabelled",
) -> Manifest:
    """Images that are already decoded.

    Args:
        images: a NumPy array [N, H, W] or [N, H, W, C], or a torch tensor [N, H, W] or [N, C, H, W], with any number
            of channels. Of other types than uint8 and bool, `likewise.data.pixel_range` finds what is black and white.
        labels: N numbers or names; -1, None, NaN or "" is unlabelled. An array [N, classes] of 0 and 1 gives several
            classes an image.
        source: what messages call it.
        split: the split of all of them.
        task: what the labels are.
        missing: what NaN, NA, N/A, None and null in text mean.

    Raises:
        LikewiseError: the shape, the type or the number of labels is another.
    """
    if not getattr(images, "ndim", 1) or not hasattr(images, "__len__"):
        raise LikewiseError(
            f"{source}: images are an array or a tensor of several; {type(images).__name__} was given."
        )
    if not len(images):
        raise LikewiseError(f"{source}: there is no image in it.")
    pixels = ArrayPixels(batch_pixels(images, source))
    listed = [None] * len(pixels) if labels is None else labels
    given = read_labels(listed, source, task=task, missing=missing)
    if len(given.numbers) != len(pixels):
        raise LikewiseError(
            f"{source}: {amount(len(pixels), 'image')}, but {amount(len(given.numbers), 'label')}. "
            f"Give one for each, -1 for none."
        )
    return Manifest(
        source,
        pixels,
        given.numbers,
        np.full(len(pixels), split),
        [str(i) for i in range(len(pixels))],
        given.class_names,
        columns=given.columns,
        notes=given.notes,
    )


def open_array_file(file: Path, columns: ColumnNames = USUAL_COLUMNS) -> list[Manifest]:
    """The images of a NumPy or torch file, one manifest for each split that it holds.

    ``.npy``: images. ``.npz`` and saved dictionaries: ``images`` and ``labels`` (or ``x`` and ``y``), also by split as
    ``train_images`` or ``x_train``. ``.pt``: images, a pair of images and labels, or a dictionary.

    Raises:
        LikewiseError: it cannot be read, or what it holds is called otherwise.
    """
    try:
        content = _load(file)
    except (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise LikewiseError(f"{file} cannot be read as arrays: {error}.") from error
    except Exception as error:  # torch.load raises pickle errors of several kinds
        raise LikewiseError(
            f"{file} is not a file of plain tensors ({type(error).__name__}). Save tensors."
        ) from error
    if isinstance(content, Mapping):
        return _from_mapping(content, file, columns)
    images, labels = (
        content if isinstance(content, (tuple, list)) and len(content) == 2 else (content, None)
    )
    return [
        open_arrays(images, labels, str(file), task=columns.task, missing=columns.missing_labels)
    ]


def _load(file: Path) -> Any:
    if file.suffix.lower() in (".pt", ".pth"):
        return torch.load(file, map_location="cpu", weights_only=True)
    content = np.load(file, allow_pickle=False)
    return dict(content) if isinstance(content, np.lib.npyio.NpzFile) else content


def _from_mapping(content: Mapping[Any, Any], file: Path, columns: ColumnNames) -> list[Manifest]:
    found = []
    for prefix, split in [("", "train"), *SPLIT_KEYS.items()]:
        images = _first(content, IMAGE_KEYS, prefix)
        if images is not None:
            labels = _first(content, LABEL_KEYS, prefix)
            found.append(
                open_arrays(images, labels, str(file), split, columns.task, columns.missing_labels)
            )
    if not found:
        raise LikewiseError(
            f"{file} holds {', '.join(map(str, content)) or 'nothing'}; name the arrays images and labels "
            f"(or x and y), by split train_images, train_labels, test_images, ..."
        )
    return found


def _first(content: Mapping[Any, Any], keys: Sequence[str], prefix: str) -> Any:
    """The first array that has one of the usual names, with the split before or behind."""
    wanted = [
        name
        for key in keys
        for name in ((f"{prefix}_{key}", f"{key}_{prefix}") if prefix else (key,))
    ]
    return next((content[name] for name in wanted if name in content), None)
