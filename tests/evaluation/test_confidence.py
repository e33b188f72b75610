"""Do 95% intervals hold the truth 95 times in 100?"""

import math

import numpy as np
import pytest
import torch

from likewise.evaluation.statistics.confidence import (
    clustered_difference,
    crossed_accuracy,
    crossed_difference,
    crossed_mean,
    paired_difference,
    wilson,
)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_wilson_solves_its_equation():
    """The ends are where |p - end| is 1.96 standard errors, the error taken at the end itself."""
    for share, count in ((0.81, 2000), (0.5, 10), (0.0, 30)):
        _, low, high = wilson(share, count)
        for end in {low, high} - {0.0}:
            assert abs(share - end) == pytest.approx(
                1.959964 * math.sqrt(end * (1 - end) / count), rel=1e-5
            )


@pytest.mark.parametrize(("share", "count"), [(1.0, 1), (0.0, 1), (1.0, 50), (0.0, 50)])
def test_wilson_stays_inside_and_never_collapses(share, count):
    _, low, high = wilson(share, count)
    assert 0 <= low <= share <= high <= 1 and high - low > 0.05


@pytest.mark.parametrize(("truth", "count"), [(0.5, 100), (0.9, 100), (0.97, 60)])
def test_wilson_covers(truth, count):
    hits = torch.binomial(
        torch.full((4000,), float(count)), torch.tensor(truth), generator=random()
    )
    covered = [
        low <= truth <= high for _, low, high in (wilson(h / count, count) for h in hits.tolist())
    ]
    # 4,000 studies place a coverage of 0.95 within 0.003; Wilson's wobbles around it by less than 0.025.
    assert 0.925 < sum(covered) / 4000 < 0.98


@pytest.mark.parametrize(
    ("won", "lost", "count"), [(0.15, 0.05, 80), (0.1, 0.1, 60), (0.3, 0.25, 200)]
)
def test_paired_difference_covers(won, lost, count):
    draw = torch.rand(3000, count, generator=random(1))
    first, second = draw < won, (draw > 1 - lost)
    intervals = [paired_difference(a, b) for a, b in zip(first, second, strict=True)]
    covered = sum(low <= won - lost <= high for _, low, high in intervals) / 3000
    assert 0.935 < covered < 0.99


def test_paired_difference_is_narrower_than_two_separate_intervals_and_keeps_its_sign():
    first = torch.arange(1000) < 800
    second = torch.arange(1000) < 770
    difference = paired_difference(first, second)
    assert (
        difference.value == pytest.approx(0.03)
        and difference.low > 0.015
        and difference.high < 0.045
    )
    back = paired_difference(second, first)
    assert (back.low, back.high) == pytest.approx((-difference.high, -difference.low))
    assert wilson(0.8, 1000).low < wilson(0.77, 1000).high


def test_paired_difference_is_the_closed_form():
    """Nine of ten won, none lost: 10/12 and 1/12, so 0.75 +- 1.96 sqrt((11/12 - 0.75^2) / 12), cut off at 1."""
    nine = torch.arange(10) < 9
    assert tuple(paired_difference(nine, ~nine & (torch.arange(10) > 9))) == pytest.approx(
        (0.9, 0.41330, 1.0), abs=1e-4
    )


def test_equal_encoders_are_not_known_to_be_equal():
    right = torch.ones(20, dtype=torch.bool)
    assert paired_difference(right, right).low < -0.05
    assert crossed_difference(right.expand(5, -1), right.expand(5, -1)).low < -0.05


def test_crossed_mean_estimates_the_variance_of_the_mean_without_bias():
    random_ = random(3)
    draw = torch.randn(4000, 4, 1, generator=random_)
    image = 2 * torch.randn(4000, 1, 9, generator=random_)
    tables = draw + image + 3 * torch.randn(4000, 4, 9, generator=random_)
    found = [crossed_mean(table) for table in tables]
    truth = 1 / 4 + 4 / 9 + 9 / 36
    assert sum(each.variance for each in found) / 4000 == pytest.approx(truth, rel=0.06)
    assert torch.tensor([each.mean for each in found]).var() == pytest.approx(truth, rel=0.06)


@pytest.mark.parametrize("draws", [3, 5])
def test_crossed_intervals_cover_new_draws_and_new_images(draws):
    """BatchRNG differ by 5 points, images in how hard they are; the truth is the mean over both populations."""
    random_, images, studies = random(2), 60, 2500
    skill = 0.05 * torch.randn(studies, 2, draws, 1, generator=random_)
    hard = 0.3 * torch.rand(studies, 1, 1, images, generator=random_) - 0.15
    right = torch.rand(studies, 2, draws, images, generator=random_) < 0.75 + skill + hard
    covered = [
        low <= 0.75 <= high for _, low, high in (crossed_accuracy(study[0]) for study in right)
    ]
    assert 0.93 < sum(covered) / studies < 0.985
    no_gain = [low <= 0 <= high for _, low, high in (crossed_difference(*study) for study in right)]
    assert 0.93 < sum(no_gain) / studies < 0.99


def test_one_draw_falls_back_to_the_interval_over_images():
    right = torch.rand(1, 50, generator=random()) < 0.7
    crossed, plain = crossed_accuracy(right), wilson(float(right.float().mean()), 50)
    assert crossed.low == pytest.approx(plain.low, abs=0.01) and crossed.high == pytest.approx(
        plain.high, abs=0.01
    )


def test_draws_that_are_right_throughout_tell_no_more_than_one():
    right = torch.ones(5, 20, dtype=torch.bool)
    assert crossed_accuracy(right).low == pytest.approx(wilson(1.0, 20).low)


def test_agreement_of_draws_cannot_beat_one_pass_over_the_images():
    right = (torch.arange(50) < 49).expand(5, -1)
    assert crossed_accuracy(right).low <= wilson(0.98, 50).low + 1e-6


def test_queries_of_one_image_count_together():
    """Against a bootstrap over images, whose captions stay together."""
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(80), rng.integers(1, 6, 80))
    liking = rng.random(80)[owner]  # captions of one image succeed or fail alike
    first = rng.random(len(owner)) < 0.2 + 0.6 * liking
    second = rng.random(len(owner)) < 0.1 + 0.6 * liking
    found = clustered_difference(*(torch.from_numpy(each) for each in (first, second, owner)))
    apart = first.astype(float) - second
    assert found.value == pytest.approx(apart.mean())
    sums, sizes = np.bincount(owner, apart), np.bincount(owner)
    drawn = rng.integers(0, 80, (4000, 80))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.015) and found.high == pytest.approx(
        high, abs=0.015
    )
    repeated = clustered_difference(
        *(torch.from_numpy(each).repeat(4) for each in (first, second, owner))
    )
    assert repeated.low == pytest.approx(found.low) and repeated.high == pytest.approx(found.high)


def test_encoders_that_find_alike_are_not_known_to_be_alike():
    right, each = torch.ones(30, dtype=torch.bool), torch.arange(30)
    value, low, high = clustered_difference(right, right, each)
    assert value == 0 and low < -0.05 and high > 0.05
