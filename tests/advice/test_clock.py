"""How long an advice may take."""

import pytest

from likewise.advice.clock import Clock, in_words, parse_time
from likewise.errors import LikewiseError


@pytest.mark.parametrize(
    ("given", "seconds"), [("90s", 90), ("20m", 1200), ("1.5h", 5400), ("45", 45), (30, 30)]
)
def test_times_as_they_are_typed(given, seconds):
    assert parse_time(given) == seconds


@pytest.mark.parametrize("given", ["", "soon", "0s", "-5m", "5 days", 0])
def test_what_is_no_time_is_refused_with_what_was_given(given):
    with pytest.raises(LikewiseError, match=r"--time"):
        parse_time(given)


@pytest.mark.parametrize("seconds", [5, 59.2, 90, 600, 1801, 7200])
def test_a_time_in_words_is_read_back_and_never_shorter(seconds):
    back = parse_time(in_words(seconds))
    assert seconds <= back <= seconds + 60


def test_the_clock_counts_down():
    now = [100.0]
    clock = Clock(60, lambda: now[0])
    now[0] = 145.0
    assert (clock.spent, clock.left) == (45.0, 15.0)
    now[0] = 170.0
    assert clock.left == -10.0
