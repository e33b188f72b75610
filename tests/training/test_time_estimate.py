"""The estimate of a run's time: after the warm-up, once, from the seconds that are given, which stand for a clock."""

import io

import pytest
from rich.console import Console

from likewise.training.progress_display import ProgressDisplay
from likewise.training.screen import Screen
from likewise.training.time_estimate import TimeEstimate, duration


def said(seconds_a_step, steps, first_step=0, warm_up=5.0, upto=60):
    """Sentences by the step at which they were said; the first step of the process takes ``warm_up`` seconds more."""
    estimate = TimeEstimate(first_step, steps)
    found = {}
    for done in range(1, upto):
        sentence = estimate.step(first_step + done, warm_up + done * seconds_a_step)
        if sentence:
            found[first_step + done] = sentence
    return found


def test_the_estimate_leaves_the_warm_up_out_and_comes_once():
    found = said(0.5, 1000)
    assert list(found) == [23]
    assert duration(0.5 * (1000 - 23)) in found[23]
    assert "20 steps" in found[23]


def test_slow_steps_are_not_waited_for():
    found = said(9.0, 1000)
    assert list(found) == [4]  # within half a minute
    assert duration(9.0 * (1000 - 4)) in found[4]
    assert "3 steps" in found[4]


def test_a_resumed_run_is_measured_over_its_own_steps():
    found = said(0.5, 1000, first_step=400)
    assert list(found) == [423]
    assert duration(0.5 * (1000 - 423)) in found[423]


@pytest.mark.parametrize(("seconds", "advised"), [(3.0, False), (4.0, True)])
def test_above_an_hour_advise_is_pointed_to(seconds, advised):
    (sentence,) = said(seconds, 1000).values()
    assert ("likewise advise" in sentence) is advised


def test_short_runs_and_short_rests_say_nothing():
    assert said(0.01, 1000) == {}
    assert said(2.0, 20, upto=21) == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45, "45 s"),
        (61, "1 min"),
        (3599, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (187_300, "2 d 4 h"),
    ],
)
def test_durations_have_two_units(seconds, text):
    assert duration(seconds) == text


def test_the_display_says_it_on_the_screen():
    text = io.StringIO()
    display = ProgressDisplay(Screen(Console(file=text, width=200)), "SimCLR", 0, 10_000)
    for step in range(1, 30):
        display.step(step, 64 * step, 2.0 * step, None)
    assert text.getvalue().count("5 h 33 min") == 1
