"""Arms against each other: equal protocols, successive halving, and never over the time."""

import pytest
import torch
from fake_arms import FakeArm, FakeTime

from likewise.advice.clock import Clock
from likewise.advice.cross_validation import CrossValidation, answers_of
from likewise.advice.folds import stratified_folds
from likewise.advice.winner import eligible
from likewise.errors import LikewiseError
from likewise.training import Interrupted

LABELS = torch.arange(2).repeat(50)  # all 100 images are labelled
FOLDS = stratified_folds(LABELS, None, 5, seed=0)


def right_about(count):
    right = torch.zeros(100, dtype=torch.bool)
    right[torch.randperm(100, generator=torch.Generator().manual_seed(count))[:count]] = True
    return right


@pytest.fixture
def time():
    return FakeTime()


def cross_validation(time, seconds, reserve=10.0, labels=LABELS, folds=FOLDS):
    return CrossValidation(labels, folds, 2, Clock(seconds, time), reserve)


def arm(name, time, cost, count, **card):
    return FakeArm(name, time, cost, right_about(count), LABELS, **card)


def outcomes(found):
    return {each.card.name: each.outcome for each in found.tried}


def test_every_image_is_answered_by_a_fit_that_did_not_see_it(time):
    found, only = cross_validation(time, 100), arm("a", time, 1, 80)
    found.try_all_folds([only])
    assert int(found.tried[0].correct(LABELS).sum()) == 80
    assert found.tried[0].outcome == "complete"
    assert len(only.fits) == 5
    for labels, left_out in only.fits:
        assert (labels[left_out] == -1).all()
        assert (labels >= 0).sum() == 80
    assert torch.cat([left_out for _, left_out in only.fits]).sort().values.tolist() == list(
        range(100)
    )


def test_images_whose_label_is_hidden_are_never_asked_about(time):
    labels = LABELS.clone()
    labels[:60] = -1
    found = cross_validation(
        time, 100, labels=labels, folds=stratified_folds(LABELS[60:], None, 5, seed=0)
    )
    only = arm("a", time, 1, 80)
    found.try_all_folds([only])
    for shown, left_out in only.fits:
        assert (shown[:60] == -1).all()
        assert (left_out >= 60).all()


def test_halving_spends_most_on_the_better_arms(time):
    arms = [
        arm("bad", time, 1, 52),
        arm("good", time, 1, 90),
        arm("worse", time, 1, 30),
        arm("middle", time, 1, 80),
    ]
    found = cross_validation(time, 1000)
    found.halve(arms)
    assert outcomes(found) == {
        "bad": "behind",
        "good": "complete",
        "worse": "behind",
        "middle": "behind",
    }
    assert [len(each.fits) for each in arms] == [1, 5, 1, 3]


def test_an_arm_that_is_surely_behind_a_frozen_one_is_dropped(time):
    found = cross_validation(time, 1000)
    found.try_all_folds([arm("frozen", time, 0.1, 99, trains_encoder=False)])
    found.halve([arm("tuned", time, 1, 20)])
    assert outcomes(found)["tuned"] == "behind"


@pytest.mark.parametrize("seconds", [11, 30, 60, 100, 150, 400])
def test_time_is_left_for_the_fit_to_all_labels(time, seconds):
    found = cross_validation(time, seconds, reserve=10)
    found.halve([arm(f"arm {number}", time, 12, 60 + number) for number in range(4)])
    complete = [each for each in found.tried if each.outcome == "complete"]
    needed = max((each.fit_seconds for each in complete), default=0)
    assert time.at + needed <= seconds - 10 + 1e-6
    assert bool(complete) == (seconds >= 100)


def test_an_arm_that_is_slower_than_it_seemed_ends_at_the_limit(time):
    found = cross_validation(time, 100, reserve=10)
    found.halve([FakeArm("slow", time, 500, right_about(90), LABELS, believed=5)])
    assert outcomes(found) == {"slow": "no time"}
    assert time.at <= 90


def test_arms_that_cannot_be_finished_are_not_begun(time):
    found = cross_validation(time, 100, reserve=10)
    arms = [arm("cheap", time, 5, 60), arm("dear", time, 50, 90)]
    found.halve(arms)
    assert outcomes(found) == {"cheap": "complete", "dear": "not tried"}
    assert not arms[1].fits


def test_what_was_dropped_is_finished_in_the_time_that_is_left_the_best_first(time):
    found = cross_validation(time, 24, reserve=10)
    arms = [
        arm("bad", time, 1, 52),
        arm("good", time, 1, 90),
        arm("worse", time, 1, 30),
        arm("middle", time, 1, 80),
    ]
    found.halve(arms)
    assert time.at == 10
    found.finish()
    assert outcomes(found) == {
        "bad": "behind",
        "good": "complete",
        "worse": "behind",
        "middle": "complete",
    }
    assert len(arms[3].fits) == 5
    assert time.at + 1.25 <= 24 - 10


def test_time_is_left_for_the_longest_fit_that_the_winner_may_need(time):
    found = cross_validation(time, 100, reserve=10)
    found.halve([arm("slow", time, 12, 90)])
    assert outcomes(found) == {"slow": "complete"}
    quick = [arm(f"quick {number}", time, 2, 80) for number in range(3)]
    found.try_all_folds(quick)
    assert time.at + 12 * 5 / 4 <= 100 - 10


def test_an_arm_with_a_prior_wins_unless_another_is_better_by_more(time):
    answers = torch.stack([torch.arange(100) < 81, torch.arange(100) < 80])
    for prior, best in ((0.0, 0), (50.0, 1)):
        found = cross_validation(time, 1e9)
        listed = [
            FakeArm("a", time, 1, answers[0], LABELS),
            FakeArm("b", time, 1, answers[1], LABELS, prior=prior),
        ]
        tried = found.try_all_folds(listed)
        assert answers_of(tried, LABELS, torch.ones(100, dtype=torch.bool)).best == best


class Failing(FakeArm):
    """An arm that ends with an error from some fit on."""

    error = LikewiseError("features are NaN")
    good = 0

    def fit(self, labels, left_out, limit):
        if len(self.fits) >= self.good:
            raise self.error
        return super().fit(labels, left_out, limit)


@pytest.mark.parametrize("good", [0, 1])
def test_an_arm_that_fails_is_dropped_and_the_others_go_on(time, good):
    found = cross_validation(time, 1000)
    bad, fine = Failing("bad", time, 1, right_about(90), LABELS), arm("fine", time, 1, 80)
    bad.good = good
    found.halve([bad, fine])
    found.finish()
    assert outcomes(found) == {"bad": "failed", "fine": "complete"}
    assert "NaN" in found.result(bad).reason
    assert [each.card.name for each in eligible(found.tried)] == ["fine"]


def test_ctrl_c_in_an_arm_ends_the_advice(time):
    bad = Failing("bad", time, 1, right_about(90), LABELS)
    bad.error = Interrupted("Ctrl-C")
    with pytest.raises(Interrupted):
        cross_validation(time, 1000).try_all_folds([bad])
