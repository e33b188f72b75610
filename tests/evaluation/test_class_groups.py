"""Means over classes, their intervals and their gains, against counts made one by one."""

from dataclasses import replace

import pytest
import torch

from likewise.evaluation.evaluate_features import Examples, evaluate_encoders
from likewise.evaluation.evaluation import EvaluationSettings
from likewise.evaluation.statistics.class_groups import class_groups, class_mean, rare_classes
from likewise.evaluation.statistics.confidence import (
    class_mean_accuracy,
    paired_difference,
    repeated_accuracy,
    repeated_difference,
    wilson,
)
from likewise.evaluation.statistics.scores import Measurement, Score
from likewise.views.policies import centre


def labels_of(*counts: int) -> torch.Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


def test_a_class_is_rare_below_a_third_of_the_largest():
    assert rare_classes(labels_of(30, 10, 9, 0), 5).tolist() == [False, False, True, True, True]
    assert not rare_classes(labels_of(18, 13, 7), 3).any(), (
        "ImageNet's classes differ by less than that"
    )
    assert rare_classes(torch.cat([labels_of(4, 1), torch.full((50,), -1)]), 2).tolist() == [
        False,
        True,
    ]


def test_groups_are_named_where_they_say_something():
    assert class_groups(labels_of(9, 9, 9), labels_of(5, 5, 5)) == []
    (balanced,) = class_groups(labels_of(9, 9, 9), labels_of(5, 5, 4))
    assert (balanced.name, balanced.classes.tolist()) == ("balanced", [0, 1, 2])
    rare, frequent = class_groups(labels_of(20, 2, 20, 1), labels_of(5, 5, 5, 5))
    assert (rare.name, rare.classes.tolist()) == ("rare", [1, 3])
    assert (frequent.name, frequent.classes.tolist()) == ("frequent", [0, 2])
    assert rare.meaning.startswith("2 of 4 classes")
    only_frequent = torch.tensor([0, 0, 2, 2])
    assert class_groups(labels_of(20, 2, 20), only_frequent) == []


def test_the_mean_is_over_classes_and_unlabelled_images_are_left_out():
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2, -1])
    predictions = torch.tensor([0, 0, 0, 1, 1, 0, 2, 2])
    outcome = Measurement(Score("knn20_top1", 0.5, 0, 1, 7, {"k": 20}), predictions)
    (balanced,) = class_groups(labels_of(3, 3, 3), labels)
    found = class_mean(outcome, labels, balanced)
    assert found.score.name == "knn20_balanced_top1"
    assert found.score.value == pytest.approx((3 / 4 + 1 + 1 / 2) / 3)
    assert found.score.count == 7
    assert found.score.low < found.score.value < found.score.high
    assert found.score.protocol["k"] == 20 and "3 classes" in found.score.protocol["mean_over"]


def test_with_one_class_the_intervals_are_the_known_ones():
    random = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 80, generator=random) < 0.7
    one = torch.zeros(80, dtype=torch.int64)
    assert tuple(class_mean_accuracy(first, one)) == pytest.approx(
        tuple(wilson(float(first.double().mean()), 80))
    )
    assert tuple(paired_difference(first, second, one)) == pytest.approx(
        tuple(paired_difference(first, second))
    )
    assert repeated_accuracy(first[None]).value == pytest.approx(float(first.double().mean()))
    assert tuple(repeated_difference(first[None], second[None])) == pytest.approx(
        tuple(paired_difference(first, second)), abs=2e-3
    )


def test_intervals_cover_the_truth_as_often_as_they_say():
    """New images of each class, or new images each asked five times, again and again."""
    random = torch.Generator().manual_seed(0)
    labels = labels_of(60, 20, 10)
    chance = torch.tensor([0.9, 0.6, 0.4])
    other = torch.tensor([0.8, 0.6, 0.5])
    held = {"mean": 0, "difference": 0, "repeated": 0, "repeated difference": 0}
    runs = 400
    for _ in range(runs):
        draw = torch.rand(90, generator=random)
        first, second = draw < chance[labels], torch.rand(90, generator=random) < other[labels]
        mean = class_mean_accuracy(first, labels)
        difference = paired_difference(first, second, labels)
        held["mean"] += mean.low <= float(chance.mean()) <= mean.high
        held["difference"] += difference.low <= float((chance - other).mean()) <= difference.high
        ease = torch.rand(2, 60, generator=random)  # an image is easy or hard under all questions
        asked = torch.rand(2, 5, 60, generator=random) < ease[:, None]
        mean, difference = repeated_accuracy(asked[0]), repeated_difference(asked[0], asked[1])
        held["repeated"] += mean.low <= 0.5 <= mean.high
        held["repeated difference"] += difference.low <= 0 <= difference.high
    assert all(0.925 <= number / runs <= 0.985 for number in held.values()), held


def test_certainty_is_never_claimed():
    every = torch.ones(12, dtype=torch.bool)
    assert class_mean_accuracy(every, labels_of(10, 2)).low < 0.9
    same = paired_difference(every, every, labels_of(10, 2))
    assert same.low < 0 == same.value < same.high
    assert repeated_accuracy(every.view(3, 4)).low < 0.7
    assert repeated_accuracy(every.view(12, 1)).low < 0.7, (
        "one image asked twelve times is one image"
    )
    assert repeated_difference(every.view(3, 4), every.view(3, 4)).low < 0


class Pixels:
    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def read(self, index):
        from likewise.data.batch import Pixels as Read

        return Read(self.images[index], torch.ones(len(index)))


def test_rare_classes_are_those_of_the_images_that_training_saw():
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    images = torch.randint(0, 150, (120, 1, 4, 4), dtype=torch.uint8, generator=random)
    images += (labels * 40).to(torch.uint8).view(-1, 1, 1, 1)
    store, ids = Pixels(images), [str(row) for row in range(120)]
    train, test = torch.arange(90), torch.arange(90, 120)
    seen = (labels[:90] != 2) | (train < 12)
    networks = {
        "trained": torch.nn.Flatten(),
        "untrained": torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Tanh()),
    }
    held_out = Examples(images=store, index=test, labels=labels[90:], ids=ids[90:])
    bank = Examples(images=store, index=train, labels=labels[:90], ids=ids[:90])
    quick = EvaluationSettings(few_label=None)
    without = evaluate_encoders(networks, bank, held_out, centre(), quick)
    assert [score.name for score in without.by_encoder["trained"]] == ["knn20_top1", "linear_top1"]
    found = evaluate_encoders(
        networks, replace(bank, seen_in_training=seen), held_out, centre(), quick
    )
    scores = {score.name: score for score in found.by_encoder["trained"]}
    assert list(scores)[2:] == [
        "knn20_rare_top1",
        "linear_rare_top1",
        "knn20_frequent_top1",
        "linear_frequent_top1",
    ]
    assert scores["knn20_top1"].protocol["bank"] == 90, "the bank is the whole"
    assert found.predictions is not None
    rare = labels[90:] == 2
    right = found.predictions == labels[90:]
    assert scores["linear_rare_top1"].value == pytest.approx(float(right[rare].double().mean()))
    assert scores["linear_rare_top1"].count == int(rare.sum())
    gains = {gain.name: gain for gain in found.differences}
    other = {score.name: score for score in found.by_encoder["untrained"]}
    for name, score in scores.items():
        assert gains[name].value == pytest.approx(score.value - other[name].value)
