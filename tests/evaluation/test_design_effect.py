from __future__ import annotations

import numpy as np
import pytest
import torch

from likewise.evaluation.statistics.confidence import paired_difference, wilson
from likewise.evaluation.statistics.design_effect import (
    design_effect,
    influence_on_mean,
    widened,
    with_cluster_adjusted_ci,
)
from likewise.evaluation.statistics.scores import Measurement, Score


def answers(rng, films: int = 40, clips: int = 8, alike: float = 0.35):
    """Clips of a film are right or wrong alike: each film has its own share of right answers, 0.6 on average."""
    share = np.clip(rng.normal(0.6, alike, films), 0.02, 0.98)
    groups = np.repeat(np.arange(films), clips)
    return torch.from_numpy(rng.random(films * clips) < share[groups]), torch.from_numpy(groups)


def outcome_of(right: torch.Tensor, labels: torch.Tensor) -> Measurement:
    predictions = torch.where(right, labels, 1 - labels)
    return Measurement(
        Score("linear_top1", *wilson(float(right.double().mean()), len(right)), len(right)),
        predictions,
    )


def test_intervals_hold_the_truth_where_those_of_single_images_do_not():
    rng = np.random.default_rng(0)
    truth = np.clip(rng.normal(0.6, 0.35, 200_000), 0.02, 0.98).mean()
    narrow = wide = 0
    for _ in range(400):
        right, groups = answers(rng)
        plain = outcome_of(right, torch.zeros(len(right), dtype=torch.int64))
        told = with_cluster_adjusted_ci(
            plain, torch.zeros(len(right), dtype=torch.int64), groups
        ).score
        narrow += plain.score.low <= truth <= plain.score.high
        wide += told.low <= truth <= told.high
        assert told.value == plain.score.value and told.protocol["groups"] == 40
    assert narrow < 0.85 * 400 and 0.91 * 400 < wide


def test_images_that_have_nothing_in_common_stay_as_they_are():
    rng = np.random.default_rng(1)
    right, groups = torch.from_numpy(rng.random(4000) < 0.7), torch.arange(4000) // 4
    influence = influence_on_mean(right.double())
    assert design_effect(influence, groups) == pytest.approx(1, abs=0.12)
    assert design_effect(influence, torch.arange(4000)) == pytest.approx(1, abs=1e-3)


def test_copies_of_an_image_count_once():
    right = torch.rand(300, generator=torch.Generator().manual_seed(0)) < 0.6
    labels = torch.zeros(1200, dtype=torch.int64)
    told = with_cluster_adjusted_ci(
        outcome_of(right.repeat(4), labels), labels, torch.arange(300).repeat(4)
    ).score
    alone = wilson(float(right.double().mean()), 300)
    assert (told.low, told.high) == (
        pytest.approx(alone.low, abs=0.003),
        pytest.approx(alone.high, abs=0.003),
    )


def test_differences_are_widened_by_their_own_effect():
    """Two encoders that fail on the same films differ by less than each of them varies."""
    rng = np.random.default_rng(2)
    right, groups = answers(rng)
    rival = right & torch.from_numpy(rng.random(len(right)) < 0.9)
    by_film = influence_on_mean(right.double() - rival.double())
    assert design_effect(by_film, groups) < design_effect(influence_on_mean(right.double()), groups)
    found = paired_difference(right, rival)
    assert widened(found, 4.0, -1.0).low == pytest.approx(
        found.value - 2 * (found.value - found.low)
    )


def test_a_mean_over_classes_is_moved_by_rare_classes_more():
    labels = torch.tensor([0] * 90 + [1] * 10)
    right = (torch.arange(100) % 3 == 0).double()
    influence = influence_on_mean(right, labels)
    moved = right.clone()
    moved[95] = 1 - moved[95]

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.stack([values[labels == c].mean() for c in (0, 1)]).mean()

    step = mean(moved) - mean(right)
    assert float(influence[95]) == pytest.approx(float((right[95] - right[90:].mean()) * abs(step)))
    assert float(influence.sum()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("right", [torch.ones(20, dtype=torch.bool), torch.arange(20) % 2 == 0])
def test_a_single_group_tells_as_much_as_one_image(right):
    labels = torch.zeros(20, dtype=torch.int64)
    told = with_cluster_adjusted_ci(outcome_of(right, labels), labels, labels).score
    assert told.protocol["design_effect"] == 20 and told.high - told.low > 0.6
