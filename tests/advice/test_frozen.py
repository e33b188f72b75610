"""Heads on frozen features."""

import pytest
import torch
from torch import nn

from likewise.advice.frozen import FrozenEncoder, frozen_arms
from likewise.advice.heads import mean_of_heads

NOBODY = torch.zeros(0, dtype=torch.int64)


def blobs(classes=3, each=30):
    random = torch.Generator().manual_seed(0)
    truth = torch.arange(classes).repeat_interleave(each)
    centres = torch.randn(classes, 8, generator=random)
    return centres[truth] + torch.randn(len(truth), 8, generator=random), truth


@pytest.fixture
def arms():
    features, _ = blobs()
    return frozen_arms(FrozenEncoder("e", "pretrained", nn.Identity(), None, features, 8), 3, 60)


def test_the_mean_of_heads_is_the_mean_of_their_standardised_logits():
    features, _ = blobs()
    torch.manual_seed(0)
    heads = [nn.Linear(8, 3), nn.Linear(8, 3)]
    expected = torch.zeros(len(features), 3)
    for head in heads:
        logits = head(features) - head(features).mean(dim=1, keepdim=True)
        expected += logits / logits.std() / 2
    found = mean_of_heads(heads, features, torch.arange(3), 3)
    assert all(parameter.is_leaf for parameter in found.parameters())
    torch.testing.assert_close(found(features), expected.detach(), rtol=1e-3, atol=1e-3)


def test_a_class_without_a_label_is_never_the_answer_and_spoils_no_other(arms):
    features, truth = blobs()
    labels = torch.full_like(truth, -1)
    shown = (torch.arange(len(truth)) % 3 == 0) & (truth < 2)
    labels[shown] = truth[shown]
    mean = next(arm for arm in arms if "mean with label propagation" in arm.card.name)
    answers = mean.fit(labels, NOBODY, 1e9).head(features).argmax(dim=1)
    known = truth < 2
    assert (answers < 2).all()
    assert float((answers[known] == truth[known]).float().mean()) > 0.7


def test_a_head_is_fitted_once_for_the_same_labels_and_anew_for_others(arms):
    _, truth = blobs()
    alone, mean = arms[-1], arms[-2]
    first = alone.fit(truth, NOBODY, 1e9).head
    mean.fit(truth, NOBODY, 1e9)  # uses it
    assert alone in mean.arms and alone.fit(truth, NOBODY, 1e9).head is first
    assert alone.fit(truth, torch.arange(5), 1e9).head is not first


def joined(unlabelled=60, few=False):
    """Arms on eight features of which the first five are of the last stage."""
    features, _ = blobs()
    return frozen_arms(
        FrozenEncoder("e", "pretrained", nn.Identity(), None, features, 5), 3, unlabelled, few
    )


def test_a_head_on_the_last_stage_gives_the_features_of_the_others_no_weight():
    features, truth = blobs()
    by_name = {arm.card.name: arm.fit(truth, NOBODY, 1e9).head for arm in joined()}
    last, several = (
        by_name["e, frozen, mean of heads"],
        by_name["e, frozen, several stages, mean of heads"],
    )
    assert not last.weight[:, 5:].any() and last.weight[:, :5].any()
    assert several.weight[:, 5:].any()
    torch.testing.assert_close(
        last(features), last(features.clone().index_fill_(1, torch.tensor([5, 6, 7]), 9.0))
    )


def test_arms_that_need_images_without_a_label_are_listed_only_where_there_are_some():
    assert any(arm.card.unlabelled for arm in joined(60))
    assert not any(arm.card.unlabelled for arm in joined(0))


def test_means_without_label_propagation_are_comparisons_where_there_are_images_without_a_label():
    def can_win(unlabelled):
        return {arm.card.name for arm in joined(unlabelled) if arm.card.can_win}

    assert "e, frozen, mean of heads" in can_win(0) - can_win(60)
    assert "e, frozen, mean with label propagation" in can_win(60) - can_win(0)
    assert all(arm.card.can_win for arm in joined(60, few=True))


def test_the_mean_of_all_heads_averages_those_of_both_kinds_of_features():
    features, truth = blobs()
    labels = truth.where(torch.arange(90) % 3 == 0, -1)
    by_name = {arm.card.name: arm.fit(labels, NOBODY, 1e9).head for arm in joined()}
    parts = [
        by_name["e, frozen, mean with label propagation"],
        by_name["e, frozen, several stages, mean with label propagation"],
    ]
    expected = sum(head(features) for head in parts) / 2
    found = by_name["e, frozen, mean of all heads"](features)
    centred = [each - each.mean(dim=1, keepdim=True) for each in (found, expected)]
    torch.testing.assert_close(*centred, rtol=1e-3, atol=1e-3)


def test_logits_of_discriminant_analysis_have_a_size_that_a_temperature_suits():
    _, truth = blobs()
    features = blobs()[0] * 1000
    arms = frozen_arms(FrozenEncoder("e", "pretrained", nn.Identity(), None, features, 5), 3, 0)
    found = (
        next(arm for arm in arms if "discriminant" in arm.card.name)
        .fit(truth, NOBODY, 1e9)
        .head(features)
    )
    assert 0.9 < float((found - found.mean(dim=1, keepdim=True)).std()) < 1.1
