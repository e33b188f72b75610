"""Intersection over union and pixel accuracy, from confusion tables."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from likewise.data.columns.masks import NOTHING, Masks


def confusion(predicted: np.ndarray, mask: np.ndarray, classes: int) -> Tensor:
    """Confusion matrix [C, C], true classes as rows and predictions as columns; ignored pixels are left out."""
    counted = mask != NOTHING
    pairs = mask[counted].astype(np.int64) * classes + predicted[counted]
    return torch.from_numpy(np.bincount(pairs, minlength=classes**2)).view(classes, classes)


def ious(table: Tensor) -> Tensor:
    """Intersection over union of each class, [..., C, C] -> [..., C]; NaN for a class that is in no mask."""
    correct = table.diagonal(dim1=-2, dim2=-1)
    true = table.sum(dim=-1)
    predicted = table.sum(dim=-2)
    return torch.where(true > 0, correct / (true + predicted - correct), torch.nan)


def mean_iou(table: Tensor) -> Tensor:
    """Mean over the classes in the masks, [..., C, C] -> [...]."""
    return ious(table).nanmean(dim=-1)


def pixel_accuracy(table: Tensor) -> Tensor:
    """Share of pixels classified correctly, [..., C, C] -> [...]."""
    correct = table.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return correct / table.sum(dim=(-2, -1))


def named_ious(masks: Masks, table: Tensor) -> dict[str, float]:
    """Intersection over union by class name, from a confusion matrix [C, C]."""
    named = {}
    for label, iou in enumerate(ious(table).tolist()):
        if not math.isnan(iou):
            named[masks.name(label)] = iou
    return named
