"""Each term of the games against its formula as a loop, its gradient, and numbers that can be checked by hand."""

import math

import pytest
import torch

from likewise.losses.adversarial import (
    bce_gan_loss,
    class_evidence,
    class_imbalance,
    discriminator_confidence,
    feature_matching,
    prediction_entropy,
    pull_away,
)
from likewise.losses.input_checks import LossInputError


def rows(*shape, seed=0):
    chance = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=chance, dtype=torch.float64).requires_grad_()


def assert_alike(found, expected, *inputs):
    torch.testing.assert_close(found, expected)
    for ours, naive in zip(
        torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, naive)


def softplus(x):
    return torch.log(1 + torch.exp(x))


def naive_evidence(logits, real):
    """As Bad-GAN's code has it: the unlabelled's two terms, or the fakes' one."""
    total = 0
    for row in logits:
        evidence = torch.log(sum(torch.exp(each) for each in row))
        total = total + (-evidence / 2 + softplus(evidence) / 2 if real else softplus(evidence) / 2)
    return total / len(logits)


@pytest.mark.parametrize("real", [True, False])
def test_class_evidence_is_the_two_terms_of_real_and_the_one_of_made(real):
    logits = rows(6, 4)
    assert_alike(class_evidence(logits, real), naive_evidence(logits, real), logits)


def test_class_evidence_is_half_the_cross_entropy_of_k_plus_one_classes_of_which_the_last_is_held_at_zero():
    logits = rows(5, 3)
    with_made = torch.cat([logits, torch.zeros(5, 1, dtype=torch.float64)], dim=1).softmax(dim=1)
    torch.testing.assert_close(
        class_evidence(logits, real=False), -with_made[:, -1].log().mean() / 2
    )
    torch.testing.assert_close(
        class_evidence(logits, real=True), -with_made[:, :-1].sum(dim=1).log().mean() / 2
    )


def test_class_evidence_cannot_overflow():
    huge = torch.tensor([[500.0, -500.0]])
    assert class_evidence(huge, real=False).item() == pytest.approx(250)
    assert class_evidence(huge, real=True).item() == 0
    assert class_evidence(-huge.abs() * 2, real=True).item() == pytest.approx(
        (1000 - math.log(2)) / 2
    )


@pytest.mark.parametrize("real", [True, False])
def test_judgement_is_binary_cross_entropy(real):
    logits = rows(7)
    chance = 1 / (1 + torch.exp(-logits))
    naive = -sum(torch.log(each if real else 1 - each) for each in chance) / 7
    assert_alike(bce_gan_loss(logits, real), naive, logits)


def test_doubted_confidence_moves_the_largest_probability_alone():
    logits, judged = rows(5, 3), rows(5, seed=1)
    naive = 0
    for row, doubt in zip(logits, judged.detach(), strict=True):
        naive = naive + max(torch.exp(row) / sum(torch.exp(row))) * softplus(-doubt) / 5 / 2
    found = discriminator_confidence(logits, judged)
    assert_alike(found, naive, logits)
    assert torch.autograd.grad(
        discriminator_confidence(logits, judged), judged, allow_unused=True
    ) == (None,)


def test_feature_matching_is_the_mean_difference_of_means_and_the_real_ones_take_no_gradient():
    made, seen = rows(4, 3), rows(6, 3, seed=1)
    naive = 0
    for column in range(3):
        naive = naive + abs(sum(made[:, column]) / 4 - sum(seen.detach()[:, column]) / 6) / 3
    assert_alike(feature_matching(made, seen), naive, made)
    assert torch.autograd.grad(feature_matching(made, seen), seen, allow_unused=True) == (None,)


def test_pull_away_is_the_mean_squared_cosine_of_pairs():
    made = rows(5, 3)
    naive = 0
    for i in range(5):
        for j in range(5):
            if i != j:
                lengths = made[i].square().sum().sqrt() * made[j].square().sum().sqrt()
                naive = naive + ((made[i] * made[j]).sum() / lengths) ** 2 / 20
    assert_alike(pull_away(made), naive, made)


def test_pull_away_at_points_known():
    assert pull_away(torch.eye(3)).item() == pytest.approx(0)
    assert pull_away(torch.tensor([[1.0, 1.0], [2.0, 2.0], [-3.0, -3.0]])).item() == pytest.approx(
        1
    )
    with pytest.raises(LossInputError, match=r"pull_away.*1 "):
        pull_away(torch.ones(1, 3))


def test_guess_entropy_is_that_of_each_row():
    logits = rows(5, 3)
    naive = 0
    for row in logits:
        shares = torch.exp(row) / sum(torch.exp(row))
        naive = naive - sum(share * torch.log(share) for share in shares) / 5
    assert_alike(prediction_entropy(logits), naive, logits)
    assert prediction_entropy(torch.zeros(2, 4)).item() == pytest.approx(math.log(4))


def test_uneven_guesses_is_the_cross_entropy_of_the_uniform_against_the_mean_guess():
    logits = rows(5, 3)
    mean = sum(torch.exp(row) / sum(torch.exp(row)) for row in logits) / 5
    naive = -sum(torch.log(share) for share in mean) / 3
    assert_alike(class_imbalance(logits), naive, logits)
    sure_but_even = torch.eye(4) * 100
    assert class_imbalance(sure_but_even).item() == pytest.approx(math.log(4), abs=1e-5)
    # Nothing overflows.
    assert class_imbalance(torch.tensor([[400.0, 0.0]])).item() == pytest.approx(200)


@pytest.mark.parametrize(
    "loss", [lambda x: class_evidence(x, True), prediction_entropy, class_imbalance, pull_away]
)
def test_terms_leave_mixed_precision(loss):
    logits = rows(6, 4).detach().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(logits), loss(logits.clone()))
        assert loss(logits.bfloat16()).dtype == torch.float32
