"""Images and labels that lie in arrays, tensors, or files of them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.manifest import Manifest
from likewise.data.pixel_arrays import batch_pixels
from likewise.data.pixel_source import ArrayPixels
from likewise.errors import LikewiseError

SUFFIXES = (".npy", ".npz", ".pt", ".pth")
IMAGE_KEYS = ("images", "image", "x", "X", "data", "arr_0")
LABEL_KEYS = ("labels", "label", "y", "Y", "targets", "arr_1")
SPLIT_KEYS = {"train": "train", "val": "val", "valid": "val", "test": "test"}


def open_arrays(images: Any, labels: Any = None, source: str = "arrays", split: str = "train") -> Manifest:
    """Images that are already decoded.

    Args:
        images: a NumPy array [N, H, W] or [N, H, W, C], or a torch tensor [N, H, W] or [N, C, H, W], with any number
            of channels: uint8, uint16 (scaled by its full range), bool, or floating point in [0, 1].
        labels: N numbers or names; -1, None or "" is unlabelled.
        source: what messages call it.
        split: the split of all of them.

    Raises:
        LikewiseError: the shape, the type or the number of labels is another.
    """
    if not len(images):
        raise LikewiseError(f"{source}: there is no image in it.")
    pixels = ArrayPixels(batch_pixels(images, source))
    given = [None] * len(pixels) if labels is None else listed(labels)
    if len(given) != len(pixels):
        raise LikewiseError(f"{source}: {len(pixels)} images, but {len(given)} labels. Give one for each, -1 for none.")
    numbers, names = numbered(given, (), source)
    return Manifest(source, pixels, numbers, np.full(len(pixels), split), [str(i) for i in range(len(pixels))], names)


def open_array_file(file: Path) -> list[Manifest]:
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
        raise LikewiseError(f"{file} is not a file of plain tensors ({type(error).__name__}). Save tensors.") from error
    if isinstance(content, Mapping):
        return _from_mapping(content, file)
    images, labels = content if isinstance(content, (tuple, list)) and len(content) == 2 else (content, None)
    return [open_arrays(images, labels, str(file))]


def numbered(labels: Sequence[Any], names: Sequence[str], source: str) -> tuple[Tensor, tuple[str, ...]]:
    """Labels as class numbers, and the class names.

    Whole numbers 0..C-1 stay what they are. Other numbers, and names, are numbered in sorted order, and their name is
    the number as it was given. None, NaN, "" and -1 are unlabelled.

    Raises:
        LikewiseError: a label below -1, a fraction, or above the names that there are.
    """
    plain = [_plain(label, source) for label in labels]
    present = {label for label in plain if label is not None}
    if names and all(isinstance(label, int) and 0 <= label < len(names) for label in present):
        number: dict[Any, int] = {i: i for i in range(len(names))}
    elif names and not all(label in names for label in present):
        bad = next(label for label in present if label not in names)
        raise LikewiseError(f"{source}: the label {bad!r} is none of the {len(names)} classes that are named.")
    elif names:
        number = {name: i for i, name in enumerate(names)}
    else:
        in_order = sorted(present, key=lambda label: (isinstance(label, str), label))
        number, names = {label: i for i, label in enumerate(in_order)}, [str(label) for label in in_order]
    values = [UNLABELLED if label is None else number[label] for label in plain]
    return torch.tensor(values, dtype=torch.int64), tuple(names)


def _plain(label: Any, source: str) -> int | str | None:
    """A label as a whole number, a name, or None."""
    if label is None or label == "" or label != label or label == UNLABELLED:
        return None
    if isinstance(label, str):
        return label
    try:
        whole = int(label)
    except (TypeError, ValueError):
        whole = None
    if whole is None or whole != label or whole < 0:
        raise LikewiseError(f"{source}: {label!r} is no label. Labels are whole numbers from 0, names, or -1 for none.")
    return whole


def listed(labels: Any) -> list[Any]:
    """Labels of any container as a list."""
    flat = labels.tolist() if isinstance(labels, (np.ndarray, Tensor)) else list(labels)
    # Some published sets keep labels as a column [N, 1].
    return [label[0] if isinstance(label, list) and len(label) == 1 else label for label in flat]


def _load(file: Path) -> Any:
    if file.suffix.lower() in (".pt", ".pth"):
        return torch.load(file, map_location="cpu", weights_only=True)
    content = np.load(file, allow_pickle=False)
    return dict(content) if isinstance(content, np.lib.npyio.NpzFile) else content


def _from_mapping(content: Mapping[Any, Any], file: Path) -> list[Manifest]:
    found = []
    for prefix, split in [("", "train"), *SPLIT_KEYS.items()]:
        images = _first(content, IMAGE_KEYS, prefix)
        if images is not None:
            found.append(open_arrays(images, _first(content, LABEL_KEYS, prefix), str(file), split))
    if not found:
        raise LikewiseError(
            f"{file} holds {', '.join(map(str, content)) or 'nothing'}; name the arrays images and labels "
            f"(or x and y), by split train_images, train_labels, test_images, ..."
        )
    return found


def _first(content: Mapping[Any, Any], keys: Sequence[str], prefix: str) -> Any:
    """The first array that has one of the usual names, with the split before or behind."""
    wanted = [name for key in keys for name in ((f"{prefix}_{key}", f"{key}_{prefix}") if prefix else (key,))]
    return next((content[name] for name in wanted if name in content), None)
