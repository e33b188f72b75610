"""The weighted mean of frozen arms."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from likewise.advice.arm import ArmCard
from likewise.advice.clock import Clock
from likewise.advice.cross_validation import CrossValidation, TriedArm
from likewise.advice.frozen import FrozenEncoder, frozen_arms
from likewise.advice.weighted_mean import pseudo_bma_weights, weighted_mean
from likewise.advice.winner import eligible

NOBODY = torch.zeros(0, dtype=torch.int64)
EACH = torch.arange(40)
"""every image a group of its own"""

FOLD_OF = torch.arange(30) // 3 % 3
"""each class is in each fold"""


def scores(difference):
    """Log probabilities by two models, the first better by some difference: float [M]."""
    difference = torch.as_tensor(difference, dtype=torch.float64)
    return torch.stack([difference - 1, torch.full_like(difference, -1)], dim=1)


def test_weights_are_those_of_bayesian_model_averaging_where_all_images_agree():
    found = pseudo_bma_weights(scores([0.05] * 40), EACH)
    odds = math.exp(40 * 0.05)
    assert found.tolist() == pytest.approx([odds / (1 + odds), 1 / (1 + odds)])


def test_images_that_disagree_and_images_of_few_groups_make_weights_more_even():
    agree = pseudo_bma_weights(scores([0.1] * 40), EACH)[0]
    varied = scores([1.1, -0.9] * 20)
    disagree = pseudo_bma_weights(varied, EACH)[0]
    grouped = pseudo_bma_weights(varied, torch.arange(40) % 2)[0]
    assert agree > disagree + 0.05 and disagree > grouped + 0.05 and grouped > 0.5


def test_without_images_weights_are_equal():
    found = pseudo_bma_weights(torch.zeros(0, 4, dtype=torch.float64), NOBODY)
    assert found.tolist() == [0.25] * 4


@pytest.fixture(scope="module")
def measured():
    """Arms on features of three classes after cross-validation in three folds, and what they were tried on."""
    random = torch.Generator().manual_seed(0)
    truth = torch.arange(90) % 3
    features = torch.randn(3, 8, generator=random)[truth]
    features += 1.5 * torch.randn(90, 8, generator=random)
    labels = truth.where(torch.arange(90) < 30, -1)
    frozen = FrozenEncoder("e", "pretrained", nn.Identity(), None, features, 5)
    arms = frozen_arms(frozen, 3, 60)
    cross_validation = CrossValidation(labels, FOLD_OF, 3, Clock(1e9), 0.0)
    return arms, cross_validation.try_all_folds(arms), labels


def test_its_logits_are_the_weighted_mean_of_the_standardised_logits_of_its_arms(measured):
    arms, tried, labels = measured
    mean = weighted_mean(arms, tried, labels)
    vectors = mean.frozen.vectors
    expected = torch.zeros(90, 3)
    for arm, share in zip(mean.arms, mean.weights(labels[:30] >= 0), strict=True):
        logits = arm.fit(labels, NOBODY, 1e9).head(vectors)
        logits = logits - logits.mean(dim=1, keepdim=True)
        expected += share * logits / logits[:30].std()
    found = mean.fit(labels, NOBODY, 1e9).head(vectors)
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-3)


def test_the_weights_of_a_fold_do_not_come_from_its_own_answers(measured):
    arms, tried, labels = measured
    fold = (FOLD_OF == 0).nonzero().flatten()
    as_it_is = weighted_mean(arms, tried, labels).fit(labels, fold, 1e9).head.weight
    others = [replace(each, logits=each.logits.clone()) for each in tried]
    for each in others:
        each.logits[fold] = torch.randn(len(fold), 3)
    arms[0].frozen.heads.clear()
    again = weighted_mean(arms, others, labels).fit(labels, fold, 1e9).head.weight
    torch.testing.assert_close(again, as_it_is)


def test_arms_that_are_averaged_are_not_chosen_where_their_mean_is_there():
    def arm(name, outcome="complete", **card):
        return TriedArm(ArmCard(name, "pretrained", **card), torch.zeros(1, 2), outcome=outcome)

    parts = [arm("one"), arm("two")]
    mean = arm("mean", averaged=("one", "two"))
    other = arm("fine-tuned")
    assert eligible([*parts, mean, other]) == [mean, other]
    mean.outcome = "no time"
    assert eligible([*parts, mean, other]) == [*parts, other]


def test_there_is_none_where_nothing_was_held_out(measured):
    arms, _, labels = measured
    blank = [TriedArm(arm.card, torch.full((30, 3), torch.nan), outcome="complete") for arm in arms]
    assert weighted_mean(arms, blank, labels) is None
