"""Whether the data bring what a method learns from beside pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from likewise.data.manifest import Manifest
from likewise.errors import LikewiseError
from likewise.methods import Method

REMEDIES = {
    "flow": "Give videos: a folder of them, or a Parquet file with a column of them",
    "sound": "Give videos with sound: a folder of them, or a Parquet file with a column of them",
    "captions": "Give a Parquet file with a column of captions (or caption, or text) beside its images, tar archives "
    "with key.txt or key.json beside key.jpg, or name a CSV of image_path,caption with --captions",
}
"""How a source comes by a sense, for the message where it has none."""


def require_modalities(manifest: Manifest, method: Method) -> Manifest:
    """The examples that a method can learn from; training examples that lack one of its senses are left out, and told.

    Validation and test examples stay, for they may be scored in other ways.

    Raises:
        LikewiseError: no training example has what the method learns from.
    """
    for name in method.required_modalities:
        train = manifest.splits == "train"
        column = manifest.columns.get(name)
        lacking = train if column is None else train & ~column.present()
        if lacking.sum() == train.sum():
            remedy = REMEDIES.get(name, f"Give data that have {name}")
            raise LikewiseError(
                f"{method.title} learns from {name}, but {manifest.source} has no {name}. {remedy}, or "
                f"choose --method simclr, which needs none."
            )
        if lacking.any():
            note = f"{lacking.sum():,} of {train.sum():,} training images have no {name} and were left out"
            manifest = replace(
                manifest.take(np.flatnonzero(~lacking)), skipped=manifest.skipped, notes=(*manifest.notes, note)
            )
    return manifest
