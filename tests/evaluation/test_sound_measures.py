"""Step and attention against counting by hand."""

import pytest
import torch

from likewise.evaluation.metrics.audio_visual import attention_in_boxes, sync_auc
from likewise.evaluation.statistics.confidence import image_mean


def test_the_area_is_the_share_of_pairs_in_order_over_all_clips():
    torch.manual_seed(0)
    synchronous, shifted = torch.randn(9).round(decimals=1), torch.randn(9, 4).round(decimals=1)
    valid = torch.rand(9, 4) < 0.7
    shifted[0, 0], valid[0, 0] = synchronous[3], True  # a tie
    won = total = 0.0
    for own in synchronous.tolist():
        for row in range(9):
            for k in range(4):
                if valid[row, k]:
                    other = shifted[row, k].item()
                    won += 1.0 if own > other else 0.5 if own == other else 0.0
                    total += 1
    found = sync_auc(synchronous, shifted, valid)
    assert found.value == pytest.approx(won / total)
    assert found.low < found.value < found.high


def test_its_interval_covers_what_new_clips_give():
    torch.manual_seed(1)
    inside, studies = 0, 60
    for _ in range(studies):
        clip = torch.randn(60, 1)  # shifts of one clip are alike
        found = sync_auc(
            1.0 + torch.randn(60),
            clip + 0.3 * torch.randn(60, 5),
            torch.ones(60, 5, dtype=torch.bool),
        )
        truth = torch.distributions.Normal(0, (2 + 0.09) ** 0.5).cdf(torch.tensor(1.0)).item()
        inside += found.low <= truth <= found.high
    assert 0.85 * studies <= inside


def test_what_is_always_in_order_has_an_area_of_one_and_the_reverse_none():
    valid = torch.ones(5, 3, dtype=torch.bool)
    assert sync_auc(torch.ones(5), torch.zeros(5, 3), valid) == (1.0, 1.0, 1.0)
    assert sync_auc(torch.zeros(5), torch.ones(5, 3), valid).value == 0.0


def test_attention_within_a_box_counts_places_by_the_share_that_it_covers():
    # Top left, top right, bottom left, bottom right.
    attention = torch.tensor([[0.1, 0.2, 0.3, 0.4]]).repeat(3, 1)
    boxes = torch.tensor([[0.5, 0.0, 1.0, 1.0], [0.0, 0.0, 0.25, 0.5], [0.25, 0.25, 0.75, 1.0]])
    expected = [0.2 + 0.4, 0.1 / 2, 0.1 / 4 + 0.2 / 4 + 0.3 / 2 + 0.4 / 2]
    assert attention_in_boxes(attention, boxes).tolist() == pytest.approx(expected)


def test_even_attention_has_the_share_of_the_boxs_area():
    boxes = torch.tensor([[0.13, 0.2, 0.71, 0.9]])
    assert attention_in_boxes(torch.full((1, 49), 1 / 49), boxes).item() == pytest.approx(
        0.58 * 0.7, rel=1e-5
    )


def test_the_image_mean_keeps_within_its_interval():
    found = image_mean(torch.tensor([0.2, 0.3, 0.4, 0.9]))
    assert found.value == pytest.approx(0.45)
    assert 0 < found.low < 0.45 < found.high < 1
    assert image_mean(torch.tensor([1.0, 1.0])).value == 1.0
