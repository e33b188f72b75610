"""Sample images beside the images that the encoder takes for most alike."""

from __future__ import annotations

import numpy as np

from likewise.data.batch import UNLABELLED
from likewise.report.pages.markup import Child, Markup, element
from likewise.report.pictures.gallery import Gallery
from likewise.report.pictures.thumbnails import HEIGHT, above, picture
from likewise.report.wording import amount

QUERIES = 10
NEIGHBOURS = 8


def neighbours(gallery: Gallery) -> list[Child]:
    """The body of the section: a row of neighbours for each of a few images."""
    if len(gallery.vectors) < 2:
        return [element("p", "Neighbours need two images or more in the gallery.", class_="soft")]
    rows = queries(gallery.labels)
    nearest = nearest_rows(gallery.vectors, rows)
    shown = gallery.labels[nearest]
    asked = gallery.labels[rows][:, None]
    judged = (shown != UNLABELLED) & (asked != UNLABELLED)
    said = "Nearest by cosine similarity among the sample images, the nearest first."
    if judged.any():
        same = int(((shown == asked) & judged).sum())
        said += (
            f" A solid frame marks the same class ({same} of {int(judged.sum())}),"
            " a dashed frame with a cross another class."
        )
    if gallery.strips is not None:
        said += " Each picture shows a clip's first, middle and last frame."
    if gallery.spectrograms is not None:
        said += " Below them what is heard meanwhile: low bands at the bottom, loud ones bright."
    form = [
        "neighbours",
        "strips" if gallery.strips is not None else "",
        "sound" if gallery.spectrograms is not None else "",
    ]
    items = [_row(gallery, row, near) for row, near in zip(rows.tolist(), nearest.tolist(), strict=True)]
    return [
        element("p", said),
        element("ul", items, class_=" ".join(form)),
    ]


def queries(labels: np.ndarray, number: int = QUERIES) -> np.ndarray:
    """Rows to ask about: the first of each class in turn, unlabelled rows last; the same rows every time."""
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        turn[members] = np.arange(len(members))
    order = np.lexsort((labels, turn, labels == UNLABELLED))
    return order[:number]


def nearest_rows(vectors: np.ndarray, rows: np.ndarray, number: int = NEIGHBOURS) -> np.ndarray:
    """For each asked row its nearest other rows by cosine similarity, nearest first.

    Args:
        vectors: float32 [n, D].
        rows: int64 [Q].
        number: how many neighbours at most.

    Returns:
        int64 [Q, min(number, n - 1)]; equally near rows in the order of the gallery.
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    similarity = unit[rows] @ unit.T
    similarity[np.arange(len(rows)), rows] = -np.inf
    return np.argsort(-similarity, axis=1, kind="stable")[:, : min(number, len(vectors) - 1)]


def _row(gallery: Gallery, row: int, near: list[int]) -> Markup:
    label = int(gallery.labels[row])
    name = gallery.name(label) if label != UNLABELLED else "no label"
    shown = _picture(gallery, row, f"Asked about: {name}")
    asked = element("div", shown, element("span", name), class_="query")
    items = [_neighbour(gallery, label, each) for each in near]
    return element("li", asked, element("ol", items, aria_label=f"{amount(len(near), 'neighbour')} of {name}"))


def _neighbour(gallery: Gallery, asked: int, row: int) -> Markup:
    label = int(gallery.labels[row])
    name = gallery.name(label) if label != UNLABELLED else "no label"
    judged = UNLABELLED not in (asked, label)
    verdict = ("same" if asked == label else "other") if judged else ""
    said = {"same": "same class", "other": "another class", "": "not judged"}[verdict]
    shown = _picture(gallery, row, f"{name} ({said})")
    below = element("span", f"✗ {name}") if verdict == "other" else None
    return element("li", shown, below, class_=f"frame {verdict}".strip(), title=gallery.ids[row])


def _picture(gallery: Gallery, row: int, said: str) -> Markup:
    """A thumbnail, or a clip's film strip and what is heard in it."""
    if gallery.strips is None:
        return picture(gallery.thumbnails[row], said)
    strip = gallery.strips[row]
    if gallery.spectrograms is None:
        return picture(strip, said)
    return picture(above(strip, gallery.spectrograms[row]), said, HEIGHT * 3 // 2)
