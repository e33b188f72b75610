"""Whether the data have the modalities, besides pixels, that a method learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from likewise.counts import amount
from likewise.data.manifest import Manifest
from likewise.errors import LikewiseError

REMEDIES = {
    "targets": "Give labels of several classes or numbers with --task multilabel or --task regression",
    "flow": "Give videos: a folder of them, or a Parquet file with a column of them",
    "sound": "Give videos with sound: a folder of them, or a Parquet file with a column of them",
    "captions": "Give a Parquet file with a column of captions (or caption, or text) next to its images, tar archives "
    "with key.txt or key.json next to key.jpg, or name a CSV of image_path,caption with --captions",
}
"""How a source comes by a modality, for the message where it has none."""


def require_columns(manifest: Manifest, names: Sequence[str], method: str) -> Manifest:
    """The examples that have every required column; training examples without one are left out, which is noted.

    Validation and test examples stay, because they can be scored in other ways.

    Args:
        manifest: with its splits decided.
        names: of the columns, such as ``captions``, ``flow`` or ``sound``.
        method: title of the method that needs them, for messages.

    Raises:
        LikewiseError: no training example has a column.
    """
    for name in names:
        manifest = _require_column(manifest, name, method)
    return manifest


def _require_column(manifest: Manifest, name: str, method: str) -> Manifest:
    train = manifest.splits == "train"
    column = manifest.columns.get(name)
    missing = train if column is None else train & ~column.present()
    if missing.sum() == train.sum():
        remedy = REMEDIES.get(name, f"Give data that have {name}")
        raise LikewiseError(
            f"{method} learns from {name}, but {manifest.source} has no {name}. {remedy}, or choose --method simclr, "
            f"which needs none."
        )
    if not missing.any():
        return manifest
    note = f"{missing.sum():,} of {amount(train.sum(), 'training image')} have no {name} and were left out"
    complete = manifest.take(np.flatnonzero(~missing))
    return replace(complete, skipped=manifest.skipped, notes=(*manifest.notes, note))
