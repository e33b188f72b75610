"""The gain of labels, of pretrained weights, of fine-tuning, of unlabelled images and of pre-training on them.

Each is a paired difference on the same held-out images. The best arm of a kind represents it, and that choice is
accounted for as that of the winner is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from likewise.advice.advice import Gain
from likewise.advice.arm import ArmCard
from likewise.advice.cross_validation import TriedArm, answers_of
from likewise.advice.expected import difference, difference_of_best
from likewise.advice.frozen import MEAN_OF_ALL

LABELS, WEIGHTS, TUNING, UNLABELLED_IMAGES, OWN = (
    "twice the labels",
    "pretrained weights",
    "fine-tuning",
    "unlabelled images",
    "pre-training of your own",
)

OWN_PRETRAINING = "pre-trained on your images"
"""part of the names of arms that do that"""


def gains_of(tried: Sequence[TriedArm], labels: Tensor, groups: Tensor | None) -> list[Gain]:
    """The gain of each ingredient; its value is None where it was not tried.

    Args:
        tried: all arms.
        labels: int64 [L], of the labelled images.
        groups: int64 [L], which of them belong together.
    """

    def gain(
        of: str, with_it: Callable[[ArmCard], bool], without: Callable[[ArmCard], bool]
    ) -> Gain:
        first, second = _furthest(tried, with_it), _furthest(tried, without)
        if not first or not second:
            return Gain(of, None)
        both = first[0].measured & second[0].measured
        one, other = answers_of(first, labels, both), answers_of(second, labels, both)
        found = difference_of_best(one, other, None if groups is None else groups[both])
        names = first[one.best].card.name, second[other.best].card.name
        return Gain(of, *found, *names)

    return [
        gain(
            WEIGHTS,
            lambda card: card.start == "pretrained" and not card.unlabelled,
            _labels_only_from_scratch,
        ),
        gain(TUNING, lambda card: _supervised(card) and card.trains_encoder, _frozen),
        gain(UNLABELLED_IMAGES, _with_unlabelled, _supervised),
        gain(OWN, lambda card: OWN_PRETRAINING in card.name, _without_own),
    ]


def _labels_only_from_scratch(card: ArmCard) -> bool:
    return card.start == "scratch" and not card.unlabelled


def _supervised(card: ArmCard) -> bool:
    return card.start == "pretrained" and not card.unlabelled


def _with_unlabelled(card: ArmCard) -> bool:
    """Without means over more heads than any arm has that they could be compared with."""
    of_more = MEAN_OF_ALL in card.name or card.averaged
    return card.unlabelled and card.start == "pretrained" and not of_more


def _frozen(card: ArmCard) -> bool:
    return _supervised(card) and not card.trains_encoder


def _without_own(card: ArmCard) -> bool:
    return not card.unlabelled


def _furthest(tried: Sequence[TriedArm], kind: Callable[[ArmCard], bool]) -> list[TriedArm]:
    """The arms of a kind that got through the most folds."""
    of_kind = [each for each in tried if kind(each.card)]
    counts = [int(each.measured.sum()) for each in of_kind]
    most = max(counts, default=0)
    if most == 0:
        return []
    return [each for each, count in zip(of_kind, counts, strict=True) if count == most]


def worth_of_labels(full: Tensor, half: Tensor, groups: Tensor | None) -> Gain:
    """The gain of twice the labels, on the same held-out images.

    Args:
        full: bool [L], whether an arm was right that learned from all labels of the other folds.
        half: bool [L], the same arm with half of them.
        groups: int64 [L], which images belong together.
    """
    return Gain(LABELS, *difference(full, half, groups))


def half_of(labels: Tensor, rows: Tensor, seed: int) -> Tensor:
    """Labels [N] with every second label of each class hidden in some rows; one of each class stays."""
    visible = labels.clone()
    random = torch.Generator().manual_seed(seed)
    order = rows[torch.randperm(len(rows), generator=random)]
    for label in labels[rows].unique():
        own = order[labels[order] == label]
        visible[own[max(1, (len(own) + 1) // 2) :]] = -1
    return visible
