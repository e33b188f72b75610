"""Which classes are recognised, and what the others are taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError


@dataclass(frozen=True)
class WeakClass:
    """A class, how often it is recognised, and what it is most often taken for."""

    name: str
    accuracy: float
    """share of its test images that were right, in [0, 1]"""
    count: int
    """test images of the class"""
    taken_for: str | None
    """the commonest wrong answer; None where there was none"""
    taken_share: float
    """share of the class's test images that got that answer"""


def confusion(predictions: Tensor, labels: Tensor, classes: int) -> Tensor:
    """How often each class (row) got each answer (column), int64 [C, C]; unlabelled images are left out.

    Args:
        predictions: int64 [N] in 0..C-1.
        labels: int64 [N] in 0..C-1 or UNLABELLED.
        classes: C.

    Raises:
        LikewiseError: a label or a prediction is outside 0..C-1.
    """
    known = labels != UNLABELLED
    predictions = predictions[known]
    labels = labels[known]
    both = torch.cat([predictions, labels])
    least, greatest = (int(end) for end in both.aminmax()) if len(both) else (0, 0)
    if least < 0 or greatest >= max(classes, 1):
        raise LikewiseError(
            f"Classes from {least} to {greatest} were met, but there are {classes}: labels and predictions must lie in "
            f"0..{classes - 1}."
        )
    counts = torch.bincount(labels * classes + predictions, minlength=classes**2)
    return counts.view(classes, classes)


def per_class_accuracy(matrix: Tensor) -> Tensor:
    """Float32 [C]: share of each class that was right; NaN for a class without test images."""
    return matrix.diagonal().float() / matrix.sum(dim=1)


def worst_classes(matrix: Tensor, names: Sequence[str], count: int = 5) -> list[WeakClass]:
    """The classes recognised least often, worst first, of those with test images.

    Args:
        matrix: int64 [C, C] from ``confusion``.
        names: C class names.
        count: how many at most.
    """
    shares = per_class_accuracy(matrix)
    present = (matrix.sum(dim=1) > 0).nonzero().flatten().tolist()
    weakest = sorted(present, key=lambda label: float(shares[label]))[:count]
    return [_weak_class(matrix[label], label, names) for label in weakest]


def _weak_class(row: Tensor, label: int, names: Sequence[str]) -> WeakClass:
    total = int(row.sum())
    wrong = row.clone()
    wrong[label] = 0
    commonest = int(wrong.argmax())
    missed = int(wrong[commonest])
    taken_for = names[commonest] if missed else None
    return WeakClass(names[label], int(row[label]) / total, total, taken_for, missed / total)
