"""The threshold keeps its precision over draws, against simulated predictions of known accuracy."""

import math

import pytest
import torch

from likewise.classification.selective import choose_threshold, fewest
from likewise.errors import LikewiseError


def calibrated(count, seed):
    """Confidences, and whether each prediction is correct with exactly that chance."""
    random = torch.Generator().manual_seed(seed)
    confidence = 1 - 0.6 * torch.rand(count, generator=random, dtype=torch.float64) ** 2
    return confidence, torch.rand(count, generator=random) < confidence


def test_the_precision_is_missed_in_no_more_draws_than_promised():
    population, correct = calibrated(200_000, 99)
    missed = chosen = 0
    for seed in range(300):
        found = choose_threshold(*calibrated(400, seed), precise=0.9)
        sure = population >= found.value
        chosen += found.reachable
        missed += bool(sure.any()) and float(correct[sure].double().mean()) < 0.9
    assert chosen > 200  # it is of use
    assert missed <= 30 + 15  # 10 % of 300, and three standard deviations


def test_all_correct_needs_the_stated_number():
    for count in (fewest(0.95) - 1, fewest(0.95)):
        found = choose_threshold(
            torch.full((count,), 0.9), torch.ones(count, dtype=torch.bool), 0.95
        )
        assert found.reachable == (count == fewest(0.95) == 45)
    assert math.isinf(
        choose_threshold(torch.zeros(0), torch.zeros(0, dtype=torch.bool), 0.95).value
    )


def test_equal_confidences_are_on_one_side():
    confidence = torch.tensor([0.9] * 100 + [0.5] * 100)
    correct = torch.tensor([True] * 100 + [False] * 100)
    found = choose_threshold(confidence, correct, 0.9)
    assert (found.value, found.retained, found.correct, found.held_out) == (
        pytest.approx(0.9),
        100,
        100,
        200,
    )


def test_more_precision_never_lowers_the_threshold():
    draws = calibrated(500, 1)
    values = [choose_threshold(*draws, precise).value for precise in (0.7, 0.8, 0.9, 0.95, 0.99)]
    assert values == sorted(values)


@pytest.mark.parametrize("precise", [0.0, 1.0, 95.0])
def test_what_is_no_share_is_refused(precise):
    with pytest.raises(LikewiseError, match="--precise"):
        choose_threshold(*calibrated(10, 0), precise)
