"""Which classes are mistaken for which, and which classes have the lowest accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from likewise.counts import count
from likewise.data.batch import UNLABELLED
from likewise.evaluation.metrics import per_class
from likewise.report.pages.blocks import Block, TableBlock, Text
from likewise.report.pages.rendering import render
from likewise.report.pictures.gallery import Gallery
from likewise.report.wording import percent

MOST = 20
"""classes of the matrix at most; of more, those with the most mistakes"""
WORST = 8
"""classes in the table of the lowest accuracies"""
OTHERS = "any other"
"""the column of all classes without one of their own"""


class MatrixCell(NamedTuple):
    """A cell of the confusion matrix."""

    text: str
    share: float
    """of the row, in [0, 1]"""
    correct: bool
    title: str


class MatrixRow(NamedTuple):
    """The predictions for a class's images."""

    name: str
    cells: Sequence[MatrixCell]


def confusion(gallery: Gallery) -> list[Block]:
    """The body of the section: classes with the lowest accuracy, then the matrix."""
    met = np.concatenate([gallery.all_labels, gallery.all_predictions])
    classes = max(len(gallery.class_names), int(met.max(initial=-1)) + 1)
    predicted = gallery.all_predictions != UNLABELLED
    predictions = torch.from_numpy(gallery.all_predictions[predicted])
    labels = torch.from_numpy(gallery.all_labels[predicted])
    matrix = per_class.confusion(predictions, labels, classes)
    if not matrix.any():
        return [Text("No labelled test image was classified, so there is no confusion matrix.")]
    names = [gallery.name(label) for label in range(classes)]
    columns, rows = _matrix(names, matrix.numpy())
    caption = "Row: the true class. Column: the prediction. Cells are percentages of the row; an empty cell is 0."
    if OTHERS in columns:
        caption += f" The {len(rows)} of {classes} classes with the most mistakes are listed."
    worst = _worst(per_class.worst_classes(matrix, names, WORST))
    return [render("confusion.html", worst=worst, caption=caption, columns=columns, rows=rows)]


def _worst(classes: Sequence[per_class.WeakClass]) -> TableBlock:
    rows = []
    for each in classes:
        confused = (
            f"{each.taken_for} ({percent(each.taken_share)} of its images)"
            if each.taken_for
            else "–"
        )
        rows.append([each.name, percent(each.accuracy), count(each.count), confused])
    head = ["class", "accuracy", "test images", "most often predicted instead"]
    return TableBlock("The classes with the lowest accuracy of the linear probe.", head, rows)


def _matrix(names: Sequence[str], matrix: np.ndarray) -> tuple[list[str], list[MatrixRow]]:
    """Columns and rows; of many classes only those with the most mistakes have a row and a column."""
    listed: list[int] = most_confused(matrix).tolist()
    others = np.setdiff1d(np.arange(len(matrix)), listed)
    columns = [names[label] for label in listed]
    if len(others):
        columns.append(OTHERS)
    rows = []
    for diagonal, label in enumerate(listed):
        numbers = matrix[label, listed].tolist()
        if len(others):
            numbers.append(int(matrix[label, others].sum()))
        rows.append(_row(names[label], numbers, diagonal, columns))
    return columns, rows


def most_confused(matrix: np.ndarray) -> np.ndarray:
    """Classes to list, int64, in class order: all, or those that take part in the most mistakes."""
    mistakes = matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * np.diag(matrix)
    return np.sort(np.argsort(-mistakes, kind="stable")[:MOST])


def _row(name: str, numbers: Sequence[int], diagonal: int, columns: Sequence[str]) -> MatrixRow:
    total = sum(numbers)
    cells = []
    for column, number in enumerate(numbers):
        share = number / max(total, 1)
        text = _percentage(share) if number else ""
        title = f"{name} predicted as {columns[column]}: {count(number)} of {count(total)}"
        cells.append(MatrixCell(text, share, column == diagonal, title))
    return MatrixRow(name, cells)


def _percentage(share: float) -> str:
    return f"{100 * share:.0f}" if share >= 0.01 else "<1"
