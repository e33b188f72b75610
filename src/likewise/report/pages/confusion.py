"""Which classes are taken for which, and which of them fare worst."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from likewise.data.batch import UNLABELLED
from likewise.evaluation.metrics import per_class
from likewise.report.pages.markup import Child, Markup, element, table
from likewise.report.pictures.gallery import Gallery
from likewise.report.wording import count, percent

SHOWN = 20
"""classes of the matrix at most; of more, those with the most mistakes"""
WORST = 8


def confusion(gallery: Gallery) -> list[Child]:
    """The body of the section: worst classes, then the matrix."""
    labels, answers = gallery.all_labels, gallery.all_predictions
    read = answers != UNLABELLED
    classes = max(len(gallery.class_names), int(labels.max(initial=-1)) + 1, int(answers.max(initial=-1)) + 1)
    matrix = per_class.confusion(torch.from_numpy(answers[read]), torch.from_numpy(labels[read]), classes)
    if not matrix.any():
        return [element("p", "No labelled test image was read, so there is no confusion to show.", class_="soft")]
    names = [gallery.name(label) for label in range(classes)]
    worst = per_class.worst_classes(matrix, names, WORST)
    return [_worst(worst), element("h3", "Confusion matrix"), _matrix(names, matrix.numpy())]


def _worst(classes: Sequence[per_class.WeakClass]) -> Markup:
    rows: list[list[Child]] = []
    for each in classes:
        take_columns = f"{each.taken_for} ({percent(each.taken_share)} of its images)" if each.taken_for else "–"
        rows.append([each.name, percent(each.accuracy), count(each.count), take_columns])
    head = ["class", "accuracy", "test images", "most often taken for"]
    return table("The classes that fare worst, as the linear probe reads them.", head, rows)


def _matrix(names: Sequence[str], matrix: np.ndarray) -> Markup:
    """Rows as shares of the true class; of many classes only those with the most mistakes have a row and a column."""
    shown: list[int] = most_confused(matrix).tolist()
    others = np.setdiff1d(np.arange(len(matrix)), shown)
    caption = "Row: the true class. Column: the answer. Cells are percentages of the row; empty means never."
    if len(others):
        caption += f" Shown are the {len(shown)} of {len(matrix)} classes with the most mistakes."
    columns = [names[label] for label in shown] + (["any other"] if len(others) else [])
    head: list[Child] = ["true class", *[element("span", name) for name in columns]]
    rows = []
    for right, label in enumerate(shown):
        cells = [*matrix[label, shown].tolist(), *([int(matrix[label, others].sum())] if len(others) else [])]
        rows.append(_row(names[label], cells, right, columns))
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
    return f"{100 * share:.0f}" if share >= 0.01 else "<1"
