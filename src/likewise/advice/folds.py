"""Which labelled images are held out together in cross-validation."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.evaluation.metrics.linear_probe import grouped_folds
from likewise.randomness import generator

NEVER = -1
"""the fold of an image that is never held out: without it, its class would have no label"""

FOLDS = 5
"""at most"""


def fold_count(labels: Tensor) -> int:
    """Five folds, or with fewer labels of most classes as many as these have.

    With more folds than labels of a class, a fold would leave out half of one class and nothing of the others, and
    each class would be learned from fewest labels in the folds that test it: with 2 labels a class, 20 folds took 12
    to 28 points off the accuracy of CIFAR-10 (JPEG) that 2 folds measured as 4 to 12 points too low.
    """
    counts = torch.bincount(labels)
    several = counts[counts > 1]
    if not len(several):
        return 1
    return int(min(FOLDS, several.double().quantile(0.25, interpolation="lower")))


def stratified_folds(labels: Tensor, groups: Tensor | None, count: int, seed: int) -> Tensor:
    """The fold in which each labelled image is held out, with every class spread over the folds.

    Args:
        labels: int64 [L].
        groups: int64 [L], images that must not be divided; None: each is by itself.
        count: of folds.
        seed: of the division.

    Returns:
        int64 [L] in 0..count-1; `NEVER` for the only label of a class (or the only group with labels of it).
    """
    kinds = torch.arange(len(labels)) if groups is None else groups
    lonely = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        members = labels == label
        if len(kinds[members].unique()) == 1:
            lonely |= torch.isin(kinds, kinds[members])
    fold_of = torch.full_like(labels, NEVER)
    divided = (~lonely).nonzero().flatten()
    if groups is None:
        fold_of[divided] = _dealt(labels[divided], count, seed)
    elif len(divided):
        fold_of[divided] = grouped_folds(labels[divided], groups[divided], seed, count)
    return fold_of


def _dealt(labels: Tensor, count: int, seed: int) -> Tensor:
    """Each class is dealt out over the folds in random order, going on where the class before it ended."""
    fold_of, start = torch.zeros_like(labels), 0
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        order = torch.randperm(len(rows), generator=generator(seed, "folds", label))
        fold_of[rows[order]] = (torch.arange(len(rows)) + start) % count
        start += len(rows)
    return fold_of
