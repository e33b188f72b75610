"""The sentence claims no more than its intervals allow."""

import pytest

from likewise.advice.advice import ArmResult, Gain
from likewise.advice.sentence import choice_sentence, first_sentence, gain_sentence
from likewise.advice.worth import LABELS, OWN, TUNING, UNLABELLED_IMAGES, WEIGHTS

ALL = (LABELS, WEIGHTS, TUNING, UNLABELLED_IMAGES, OWN)


@pytest.mark.parametrize("of", ALL)
@pytest.mark.parametrize(
    ("value", "low", "high"), [(0.05, -0.01, 0.11), (0.0, -0.05, 0.05), (-0.04, -0.09, 0.01)]
)
def test_nothing_helped_where_the_interval_holds_zero(of, value, low, high):
    words = gain_sentence(Gain(of, value, low, high))
    assert "brought" not in words
    assert "did harm" not in words


@pytest.mark.parametrize("of", ALL)
def test_what_surely_helped_is_said_with_its_interval(of):
    words = gain_sentence(Gain(of, 0.05, 0.01, 0.09))
    assert "brought" in words
    assert "1.0 to 9.0" in words


@pytest.mark.parametrize(("value", "low", "high"), [(-0.2, -0.3, -0.1), (0.0, -0.02, 0.01)])
def test_more_pretraining_would_not_pay_where_it_cannot_gain_more_than_a_little(value, low, high):
    assert "would not pay" in gain_sentence(Gain(OWN, value, low, high))


def test_what_was_not_tried_is_not_judged():
    for of in (TUNING, OWN):
        assert "not tried" in gain_sentence(Gain(of, None))


def test_too_few_labels_promise_nothing():
    words = first_sentence(100, 3, 3, "class prototypes", None, None, None)
    assert "%" not in words
    assert "class prototypes" in words


@pytest.mark.parametrize(("low", "is_sure"), [(0.85, False), (0.9999, True)])
def test_no_mistake_among_few_labels_does_not_promise_that_there_will_be_none(low, is_sure):
    words = first_sentence(240, 32, 4, "mean", 0.999, low, 1.0)
    assert ("100%" in words) == is_sure
    assert is_sure or "85%" in words


def result(name, accuracy, probability, folds=5):
    return ArmResult(name, accuracy, 0.0, 1.0, 1.0, folds=folds, probability=probability)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (result("LoRA", 0.675, 0.5), ("67.5%", "LoRA", "52.0% against 50.0%")),
        (result("LoRA", 0.675, 0.525), ("67.5%", "LoRA", "52.5% against 52.0%")),
        (result("LoRA", 0.675, 0.9, folds=2), ("67.5%", "LoRA", "2 of 5 folds")),
    ],
)
def test_where_another_arm_has_the_highest_accuracy_it_says_why_that_is_not_the_winner(
    other, words
):
    winner = result("logistic regression", 0.627, 0.52)
    said = choice_sentence(winner, [winner, other, result("untried", None, None)], 5)
    assert all(word in said for word in words)


def test_where_the_winner_is_the_most_accurate_there_is_nothing_to_explain():
    winner = result("LoRA", 0.7, 0.5)
    assert choice_sentence(winner, [winner, result("k-NN", 0.7, 0.6)], 5) == ""
