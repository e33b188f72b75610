import math

import numpy as np
import pytest
from synthetic_run import online_accuracy

from likewise.report.speed_up import Crossing, Curve, first_crossing, speed_up


def curve(name, half, speed=1000.0, top=0.8, end=200_000, points=400):
    images = np.linspace(end / points, end, points)
    values = [online_accuracy(each, half, top) for each in images]
    return Curve(name, values, {"images": images.tolist(), "seconds": (images / speed).tolist()})


def test_crossing_lies_on_the_line_between_two_measurements():
    assert first_crossing([0, 10, 20], [0.1, 0.3, 0.7], 0.4) == Crossing(pytest.approx(12.5), False)
    assert first_crossing([0, 10, 20], [0.1, 0.3, 0.7], 0.3) == Crossing(10.0, False)


def test_first_of_several_crossings_counts_and_gaps_are_skipped():
    assert first_crossing(
        [0, 1, 2, 3, 4], [0.0, 0.6, 0.2, math.nan, 0.9], 0.5
    ).cost == pytest.approx(0.5 / 0.6)
    assert first_crossing([0, 1, 2], [0.0, math.nan, 0.8], 0.4).cost == pytest.approx(1.0)


def test_there_at_the_first_measurement_is_a_bound_and_never_is_none():
    assert first_crossing([5, 10], [0.5, 0.6], 0.5) == Crossing(5, True)
    assert first_crossing([5, 10], [0.5, 0.6], 0.7) is None
    assert first_crossing([], [], 0.7) is None


def test_ratio_is_that_of_the_formula_behind_the_curves():
    # a(x) = top x / (x + half) reaches any value at a cost that is proportional to half.
    found = speed_up(curve("b", half=16_000, speed=800), curve("a", half=40_000, speed=1000))
    assert found.ratios == {
        "images": pytest.approx(0.4, abs=1e-3),
        "seconds": pytest.approx(0.5, abs=1e-3),
    }
    assert all(number in str(found) for number in ("66.7%", "0.40", "0.50"))


def test_a_reference_that_levelled_off_is_measured_where_it_first_got_there():
    flat = Curve("a", [0.0, 0.6, 0.7, 0.6], {"images": [0, 100, 200, 1000]})
    found = speed_up(Curve("b", [0.0, 0.6], {"images": [0, 50]}), flat)
    assert found.ratios == {"images": pytest.approx(0.5)}  # not 50 / 1000


def test_a_target_that_is_never_reached():
    found = speed_up(curve("b", half=80_000), curve("a", half=40_000))
    assert found.ratios is None
    assert found.best == pytest.approx(0.571, abs=1e-3) and found.target == pytest.approx(
        0.667, abs=1e-3
    )
    assert "66.7%" in str(found) and "57.1%" in str(found)


def test_a_bound_is_marked():
    late = Curve("b", [0.7, 0.8], {"images": [60, 100]})
    found = speed_up(late, Curve("a", [0.0, 0.6], {"images": [0, 120]}))
    assert found.at_most and found.ratios == {"images": pytest.approx(0.5)}
    assert "at most 0.50" in str(found)


@pytest.mark.parametrize("run", [[0.6, 0.8], [0.1, 0.2]])
def test_a_reference_that_never_rose_has_no_speed_to_compare_with(run):
    found = speed_up(
        Curve("b", run, {"images": [60, 100]}), Curve("a", [0.5, 0.5], {"images": [10, 20]})
    )
    assert found.ratios == {} and found.target == 0.5
    assert "50.0%" in str(found) and "20.0%" not in str(found)
