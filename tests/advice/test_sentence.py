"""The sentence claims no more than its intervals allow."""

import pytest

from likewise.advice.advice import Gain
from likewise.advice.sentence import first_sentence, gain_sentence
from likewise.advice.worth import LABELS, OWN, TUNING, UNLABELLED_IMAGES, WEIGHTS

ALL = (LABELS, WEIGHTS, TUNING, UNLABELLED_IMAGES, OWN)


@pytest.mark.parametrize("of", ALL)
@pytest.mark.parametrize(("value", "low", "high"), [(0.05, -0.01, 0.11), (0.0, -0.05, 0.05), (-0.04, -0.09, 0.01)])
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
