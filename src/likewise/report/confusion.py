"""Which classes are taken for which, and which of them fare worst."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from likewise.report.markup import Child, Markup, element, table
from likewise.report.record import NONE, Gallery
from likewise.report.wording import amount, count, percent

SHOWN = 20
"""classes of the matrix at most; of more, those with the most mistakes"""
WORST = 8


class WorstClass(NamedTuple):
    """A class that is often read wrongly."""

    label: int
    right: int
    total: int
    confused_with: int | None
    """the class that it is most often taken for; None where it is always right"""
    times: int

    @property
    def accuracy(self) -> float:
        """Share of its images that were read rightly."""
        return self.right / self.total


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """int64 [C, C]: row the true class, column the answer. Rows without a label or an answer are left out."""
    known = (labels != NONE) & (predictions != NONE)
    classes = max(classes, int(labels.max(initial=-1)) + 1, int(predictions.max(initial=-1)) + 1)
    cells = labels[known] * classes + predictions[known]
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def worst_classes(matrix: np.ndarray, number: int = WORST) -> list[WorstClass]:
    """Classes by rising accuracy, those without test images left out; ties in class order."""
    found = []
    for label in np.flatnonzero(matrix.sum(axis=1)).tolist():
        mistakes = matrix[label].copy()
        mistakes[label] = 0
        other = int(mistakes.argmax()) if mistakes.any() else None
        times = int(mistakes.max())
        found.append(WorstClass(label, int(matrix[label, label]), int(matrix[label].sum()), other, times))
    return sorted(found, key=lambda each: each.accuracy)[:number]


def confusion(gallery: Gallery) -> list[Child]:
    """The body of the section: worst classes, then the matrix."""
    matrix = confusion_matrix(gallery.all_labels, gallery.all_predictions, len(gallery.class_names))
    if not matrix.any():
        return [element("p", "No labelled test image was read, so there is no confusion to show.", class_="soft")]
    return [_worst(gallery, worst_classes(matrix)), element("h3", "Confusion matrix"), _matrix(gallery, matrix)]


def _worst(gallery: Gallery, classes: Sequence[WorstClass]) -> Markup:
    rows: list[list[Child]] = []
    for each in classes:
        taken = "–"
        if each.confused_with is not None:
            taken = f"{gallery.name(each.confused_with)} ({amount(each.times, 'time')})"
        right = f"{count(each.right)} of {count(each.total)}"
        rows.append([gallery.name(each.label), percent(each.accuracy), right, taken])
    return table("The classes that fare worst, as the linear probe reads them.",
                 ["class", "accuracy", "right", "most often taken for"], rows)  # fmt: skip


def _matrix(gallery: Gallery, matrix: np.ndarray) -> Markup:
    """Rows as shares of the true class; of many classes only those with the most mistakes have a row and a column."""
    shown = most_confused(matrix)
    others = np.setdiff1d(np.arange(len(matrix)), shown)
    caption = "Row: the true class. Column: the answer. Cells are shares of the row in %; empty means never."
    if len(others):
        caption += f" Shown are the {len(shown)} of {len(matrix)} classes with the most mistakes."
    columns = [gallery.name(label) for label in shown.tolist()] + (["any other"] if len(others) else [])
    head: list[Child] = ["true class", *[element("span", name) for name in columns]]
    rows = []
    for label in shown.tolist():
        cells = [*matrix[label, shown].tolist(), *([int(matrix[label, others].sum())] if len(others) else [])]
        right = int(np.flatnonzero(shown == label)[0])
        rows.append(_row(gallery.name(label), cells, right, columns))
    header = element("tr", [element("th", cell, scope="col") for cell in head])
    content = element("table", element("caption", caption), element("thead", header), element("tbody", rows))
    return element("div", content, class_="table confusion", tabindex=0, role="region", aria_label="Confusion matrix")


def most_confused(matrix: np.ndarray, number: int = SHOWN) -> np.ndarray:
    """Classes to show, int64, in class order: all, or those that take part in the most mistakes."""
    mistakes = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
    return np.sort(np.argsort(-mistakes, kind="stable")[:number])


def _row(name: str, cells: Sequence[int], right: int, columns: Sequence[str]) -> Markup:
    total = max(sum(cells), 1)
    made = [
        element(
            "td",
            _share(number / total) if number else None,
            style=f"--share:{number / total:.3f}",
            class_="right" if place == right else None,
            title=f"{name} read as {columns[place]}: {count(number)} of {count(sum(cells))}",
        )
        for place, number in enumerate(cells)
    ]
    return element("tr", element("th", name, scope="row"), made)


def _share(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.005 else "<1"
