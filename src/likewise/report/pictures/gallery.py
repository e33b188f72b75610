"""Sample images of a run with their vectors, labels and predictions, in its folder for its page."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from likewise.atomic_write import write_arrays
from likewise.data.batch import UNLABELLED
from likewise.evaluation.run_scores import Scored
from likewise.randomness import generator
from likewise.report.pictures.example_pictures import STRIP, spectrograms, thumbnails
from likewise.run_folder import RunFolder

SIZE = 2000
"""Test images at most whose vectors and thumbnails the page shows."""


class Gallery(NamedTuple):
    """Sample images with their vectors, and the labels and predictions of the whole test set."""

    vectors: np.ndarray
    """float32 [n, D]"""
    labels: np.ndarray
    """int64 [n], UNLABELLED where there is none"""
    predictions: np.ndarray
    """int64 [n], UNLABELLED where none was made"""
    thumbnails: np.ndarray
    """uint8 [n, H, W, C], C = 1 or 3"""
    strips: np.ndarray | None
    """uint8 [n, H, several W, C]: of clips some frames side by side"""
    spectrograms: np.ndarray | None
    """uint8 [n, h, several W]: of clips with sound the sound of those frames"""
    ids: list[str]
    class_names: list[str]
    all_labels: np.ndarray
    """int64 [m]: labels of the whole test set"""
    all_predictions: np.ndarray
    """int64 [m]"""

    def name(self, label: int) -> str:
        """A class's name; its number where it has no name."""
        if label == UNLABELLED:
            return "no label"
        return self.class_names[label] if 0 <= label < len(self.class_names) else f"class {label}"


def write_gallery(run: RunFolder, scored: Scored) -> None:
    """Write ``gallery.npz``: a random sample of the images that were scored."""
    split = scored.scored_on
    evaluation = scored.evaluation
    count = len(evaluation.vectors)
    most = SIZE if split.images.frames == 1 else SIZE // STRIP
    order = torch.randperm(count, generator=generator(0, "gallery"))
    index = order[:most].sort().values
    predictions = evaluation.predictions
    if predictions is None:
        predictions = torch.full((count,), UNLABELLED)
    pictures: dict[str, Any] = thumbnails(split, index)
    if split.images.frames > 1 and (drawn := spectrograms(split, index)) is not None:
        pictures["spectrograms"] = drawn
    write_arrays(
        run.gallery,
        vectors=evaluation.vectors[index].numpy().astype(np.float16),
        labels=split.labels[index].numpy(),
        predictions=predictions[index].numpy(),
        **pictures,
        ids=np.array([split.manifest.ids[i] for i in index.tolist()]),
        class_names=np.array(split.manifest.class_names, dtype=str),
        all_labels=split.labels.numpy(),
        all_predictions=predictions.numpy(),
    )


def read_gallery(path: Path, missing: list[str]) -> Gallery | None:
    """The gallery, or None and a sentence in ``missing``."""
    if not path.exists():
        missing.append(
            f"{path.name} is absent, so there is no map, no neighbours and no confusion matrix."
        )
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _gallery(dict(arrays))
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        missing.append(
            f"{path.name} cannot be read ({error}), so there is no map and no neighbours."
        )
        return None


def _gallery(arrays: dict[str, np.ndarray]) -> Gallery:
    vectors = np.nan_to_num(arrays["vectors"].astype(np.float32), posinf=0, neginf=0)
    pictures = arrays["thumbnails"]
    unlabelled = np.full(len(vectors), UNLABELLED)
    return Gallery(
        vectors=vectors,
        labels=arrays.get("labels", unlabelled).astype(np.int64),
        predictions=arrays.get("predictions", unlabelled).astype(np.int64),
        thumbnails=pictures[..., None] if pictures.ndim == 3 else pictures,
        strips=arrays.get("strips"),
        spectrograms=arrays.get("spectrograms"),
        ids=[str(name) for name in arrays["ids"]],
        class_names=[str(name) for name in arrays["class_names"]],
        all_labels=np.asarray(arrays.get("all_labels", []), dtype=np.int64),
        all_predictions=np.asarray(arrays.get("all_predictions", []), dtype=np.int64),
    )
