"""Accuracy as a mean over classes: all of them, those rare in training, and the frequent ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.evaluation.statistics.confidence import CLASS_MEAN, class_mean_accuracy
from likewise.evaluation.statistics.scores import Measurement, Score

RARE = 3
"""A class is rare where the largest class has more than this many times its training images.

Balanced data sets differ by less (ImageNet's classes by 1.8, from 732 to 1,300), while studies of imbalance use ratios
of 10 and more (Cui et al. 2019, https://arxiv.org/abs/1901.05555: 10 to 200; ISD: 13).
"""


class ClassGroup(NamedTuple):
    """Classes that an accuracy is averaged over."""

    name: str
    """balanced (all of them), rare or frequent"""
    classes: Tensor
    """int64 [C]"""
    meaning: str
    """description of the classes"""


def rare_classes(train_labels: Tensor, classes: int) -> Tensor:
    """Which classes have fewer than a third of the largest class's training images: bool [classes].

    Args:
        train_labels: int64 [N] of the images that training saw, with visible and hidden labels; UNLABELLED where none
            is known.
        classes: number of classes.
    """
    count = torch.bincount(train_labels[train_labels != UNLABELLED], minlength=classes)
    return count * RARE < count.max()


def class_groups(train_labels: Tensor, test_labels: Tensor) -> list[ClassGroup]:
    """The groups of classes whose mean accuracy differs from the mean over images.

    All classes, where their numbers of test images differ; the rare and the frequent ones, where training was
    imbalanced (see ``RARE``) and the test images have both.

    Args:
        train_labels: int64 [N], of the images that training saw.
        test_labels: int64 [M].
    """
    present, count = test_labels[test_labels != UNLABELLED].unique(return_counts=True)
    classes = int(max(train_labels.max(), test_labels.max())) + 1
    rare = rare_classes(train_labels, classes)[present]
    groups = []
    if len(count.unique()) > 1:
        groups.append(
            ClassGroup("balanced", present, f"all {amount(len(present), 'class', 'classes')}")
        )
    if bool(rare.any()) and not bool(rare.all()):
        share = "a third of the largest class's training images"
        of_all = f"of {amount(len(present), 'class', 'classes')}, those with"
        fewer = f"{int(rare.sum())} {of_all} fewer than {share}"
        more = f"{int((~rare).sum())} {of_all} {share} or more"
        groups.append(ClassGroup("rare", present[rare], fewer))
        groups.append(ClassGroup("frequent", present[~rare], more))
    return groups


def class_mean(measurement: Measurement, labels: Tensor, group: ClassGroup) -> Measurement:
    """The measurement as a mean over a group's classes: ``knn20_top1`` -> ``knn20_rare_top1``.

    Args:
        measurement: a score with its predictions [N].
        labels: int64 [N], of the test images.
        group: the classes.
    """
    counted = torch.isin(labels, group.classes)
    correct = measurement.predictions == labels
    interval = class_mean_accuracy(correct[counted], labels[counted])
    name = f"{measurement.score.name.removesuffix('_top1')}_{group.name}_top1"
    protocol = measurement.score.protocol | {"mean_over": group.meaning, "interval": CLASS_MEAN}
    score = Score(name, *interval, int(counted.sum()), protocol)
    return Measurement(score, measurement.predictions, group.classes)
