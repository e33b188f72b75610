"""Sample images and their nearest neighbours in the space of the encoder's features."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.report.pages.rendering import render
from likewise.report.pictures.gallery import Gallery
from likewise.report.pictures.image_rows import ImageRow, ResultImage
from likewise.report.pictures.thumbnails import HEIGHT, PageImage, stack, thumbnail

QUERIES = 10
NEIGHBOURS = 8


def neighbours(gallery: Gallery) -> Markup | str:
    """The body of the section: a row of neighbours for each of a few images."""
    if len(gallery.vectors) < 2:
        return "Neighbours need two images or more in the gallery."
    rows = queries(gallery.labels)
    nearest = nearest_rows(gallery.vectors, rows)
    css = ["neighbours"]
    if gallery.strips is not None:
        css.append("strips")
    if gallery.spectrograms is not None:
        css.append("sound")
    drawn = []
    for row, near in zip(rows.tolist(), nearest.tolist(), strict=True):
        drawn.append(_row(gallery, row, near))
    return render(
        "image_rows.html",
        explanation=_explanation(gallery, rows, nearest),
        css=" ".join(css),
        rows=drawn,
    )


def _explanation(gallery: Gallery, rows: np.ndarray, nearest: np.ndarray) -> str:
    parts = ["Nearest neighbours by cosine similarity among the sample images, nearest first."]
    found = gallery.labels[nearest]  # [Q, N]
    wanted = gallery.labels[rows][:, None]  # [Q, 1]
    judged = (found != UNLABELLED) & (wanted != UNLABELLED)
    if judged.any():
        same = int(((found == wanted) & judged).sum())
        parts.append(
            f"A solid frame marks the same class ({same} of {int(judged.sum())}), a dashed frame with a cross another."
        )
    if gallery.strips is not None:
        parts.append("Each picture shows a clip's first, middle and last frame.")
    if gallery.spectrograms is not None:
        parts.append(
            "Below them is the spectrogram of their sound: low bands at the bottom, loud ones bright."
        )
    return " ".join(parts)


def queries(labels: np.ndarray, number: int = QUERIES) -> np.ndarray:
    """Query rows: one of each class, then a second of each, unlabelled rows last; the same rows every time."""
    rank_in_class = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank_in_class[members] = np.arange(len(members))
    order = np.lexsort((labels, rank_in_class, labels == UNLABELLED))
    return order[:number]


def nearest_rows(vectors: np.ndarray, rows: np.ndarray, number: int = NEIGHBOURS) -> np.ndarray:
    """For each query row its nearest other rows by cosine similarity, nearest first.

    Args:
        vectors: float32 [n, D].
        rows: int64 [Q].
        number: how many neighbours at most.

    Returns:
        int64 [Q, min(number, n - 1)]; equally near rows in the order of the gallery.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    similarity = unit[rows] @ unit.T  # [Q, n]
    similarity[np.arange(len(rows)), rows] = -np.inf  # a row is no neighbour of itself
    order = np.argsort(-similarity, axis=1, kind="stable")
    return order[:, : min(number, len(vectors) - 1)]


def _row(gallery: Gallery, row: int, near: list[int]) -> ImageRow:
    label = int(gallery.labels[row])
    name = gallery.name(label)
    results = [_neighbour(gallery, label, each) for each in near]
    query = _image(gallery, row, f"Query: {name}")
    return ImageRow([query], name, results, f"{amount(len(near), 'neighbour')} of {name}")


def _neighbour(gallery: Gallery, query: int, row: int) -> ResultImage:
    label = int(gallery.labels[row])
    name = gallery.name(label)
    if UNLABELLED in (query, label):
        verdict, meaning = "", "class unknown"
    elif query == label:
        verdict, meaning = "same", "same class"
    else:
        verdict, meaning = "other", "another class"
    caption = f"✗ {name}" if verdict == "other" else ""
    return ResultImage(
        _image(gallery, row, f"{name} ({meaning})"), verdict, caption, gallery.ids[row]
    )


def _image(gallery: Gallery, row: int, alternative: str) -> PageImage:
    """A thumbnail, or a clip's film strip, above the spectrogram of its sound where there is one."""
    if gallery.strips is None:
        return thumbnail(gallery.thumbnails[row], alternative)
    strip = gallery.strips[row]
    if gallery.spectrograms is None:
        return thumbnail(strip, alternative)
    return thumbnail(stack(strip, gallery.spectrograms[row]), alternative, HEIGHT * 3 // 2)
