"""Confusions counted one by one."""

import math

import pytest
import torch
from sklearn.metrics import confusion_matrix

from likewise.errors import LikewiseError
from likewise.evaluation.metrics.per_class import confusion, per_class_accuracy, worst_classes


def test_confusion_has_true_classes_as_rows():
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (200,), generator=random)
    predictions = torch.randint(0, 5, (200,), generator=random)
    expected = confusion_matrix(labels, predictions, labels=range(5))
    assert confusion(predictions, labels, 5).tolist() == expected.tolist()


def test_unlabelled_images_are_left_out():
    assert confusion(torch.tensor([0, 1, 1]), torch.tensor([-1, 1, 0]), 2).tolist() == [
        [0, 1],
        [0, 1],
    ]
    assert confusion(torch.tensor([0]), torch.tensor([-1]), 2).tolist() == [[0, 0], [0, 0]]


def test_classes_outside_the_range_are_refused():
    with pytest.raises(LikewiseError, match=r"0 to 2\b.*\b2\b"):
        confusion(torch.tensor([2]), torch.tensor([0]), 2)


def test_worst_classes_name_their_commonest_confusion():
    labels = torch.tensor([0] * 4 + [1] * 4 + [2] * 2)
    predictions = torch.tensor([0, 0, 0, 1, 0, 2, 2, 1, 2, 2])
    matrix = confusion(predictions, labels, 4)
    assert per_class_accuracy(matrix).tolist()[:3] == [0.75, 0.25, 1.0]
    assert math.isnan(per_class_accuracy(matrix)[3])

    worst = worst_classes(matrix, ["coat", "shirt", "bag", "boot"], count=5)
    assert [each.name for each in worst] == ["shirt", "coat", "bag"]
    assert (worst[0].accuracy, worst[0].count, worst[0].taken_for, worst[0].taken_share) == (
        0.25,
        4,
        "bag",
        0.5,
    )
    assert worst[2].taken_for is None and worst[2].taken_share == 0
    assert len(worst_classes(matrix, ["coat", "shirt", "bag", "boot"], count=1)) == 1
