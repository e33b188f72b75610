"""What may be expected of the winner: honest after the choice, and with an interval that covers."""

import numpy as np
import pytest
import torch

from likewise.advice.expected import (
    Answers,
    arm_accuracy,
    choose,
    difference,
    difference_of_best,
    expected_accuracy,
    from_fewer_labels,
)

FEW = 200
"""simulated advices"""


def answers(share, images, arms, random):
    """Arms that are equally good and independent: the best of them is luck alone."""
    correct = torch.from_numpy(random.random((images, arms)) < share)
    return Answers(correct, correct.double())


def test_the_first_of_equals_is_chosen():
    assert int(choose(torch.tensor([0.5, 0.7, 0.7]))) == 1
    assert choose(torch.tensor([[0.2, 0.1], [0.1, 0.2]])).tolist() == [0, 1]


def test_the_best_of_many_equal_arms_is_expected_to_be_as_good_as_each():
    random = np.random.default_rng(0)
    found, naive = [], []
    for _ in range(FEW):
        correct = answers(0.6, 60, 10, random)
        # Folds that leave out next to nothing.
        found.append(expected_accuracy(correct, folds=10**6).value)
        naive.append(float(correct.correct.double().mean(dim=0).max()))
    assert abs(np.mean(found) - 0.6) < 0.015
    assert np.mean(naive) > 0.65  # what would be promised without the correction


@pytest.mark.parametrize(("share", "images"), [(0.5, 20), (0.9, 50), (0.7, 200)])
def test_intervals_cover_the_truth(share, images):
    random = np.random.default_rng(1)
    covered = []
    for _ in range(FEW):
        found = expected_accuracy(answers(share, images, 4, random), folds=10**6)
        covered.append(found.low <= share <= found.high)
    assert np.mean(covered) > 0.93


def test_folds_that_leave_out_more_are_corrected_for_more():
    half, _ = from_fewer_labels(0.5, 2)
    fifth, _ = from_fewer_labels(0.5, 5)
    assert half == pytest.approx(1 - 0.5 * 0.5**0.2)
    assert 0.5 < fifth < half
    assert from_fewer_labels(1.0, 5) == (1.0, 0.0)


def test_images_of_one_group_count_less():
    correct = torch.arange(100) < 60
    pairs = torch.arange(50).repeat_interleave(2)
    alone, grouped = arm_accuracy(correct, 5), arm_accuracy(correct, 5, pairs)
    assert grouped.value == alone.value
    assert grouped.high - grouped.low > 1.2 * (alone.high - alone.low)


def test_a_difference_is_paired():
    random = np.random.default_rng(2)
    first = torch.from_numpy(random.random(200) < 0.7)
    second = first.clone()
    second[:6] = False
    found = difference(first, second)
    alone = arm_accuracy(first, 5)
    assert found.high - found.low < (alone.high - alone.low) / 2


def test_a_kind_of_many_equal_arms_seldom_seems_better_than_one():
    random = np.random.default_rng(3)
    false_claims = [
        difference_of_best(answers(0.6, 100, 6, random), answers(0.6, 100, 1, random)).low > 0
        for _ in range(FEW)
    ]
    assert np.mean(false_claims) < 0.04


def test_classes_that_were_never_held_out_lower_what_is_expected_and_widen_its_interval():
    correct = torch.arange(100) < 80
    whole, part = arm_accuracy(correct, 5), arm_accuracy(correct, 5, held_out=0.8)
    # A fifth of the images, half as often right.
    assert part.value == pytest.approx(whole.value * 0.9)
    assert part.high - part.low > whole.high - whole.low
    assert part.low < whole.value * 0.8 + 1e-9 and part.high > whole.value
