"""Losses of pairs against naive loops, gradients included, of the learned scale too."""

import math

import pytest
import torch
import torch.nn.functional as F

from likewise.losses import (
    LossInputError,
    clip_loss,
    optimal_transport_targets,
    pair_divergence,
    pair_targets,
)

N, D = 5, 4


def pairs(seed=0):
    torch.manual_seed(seed)
    rows = [
        F.normalize(torch.randn(N, D, dtype=torch.float64), dim=1).requires_grad_()
        for _ in range(2)
    ]
    return *rows, torch.tensor(7.0, dtype=torch.float64, requires_grad=True)


def naive_cross_entropy(queries, keys, scale, targets):
    """-sum_j t_ij log softmax_j, row by row."""
    total = 0.0
    for i in range(len(queries)):
        scores = torch.stack([scale * queries[i].dot(keys[j]) for j in range(len(keys))])
        total = total - sum(
            targets[i][j] * (scores[j] - scores.exp().sum().log()) for j in range(len(keys))
        )
    return total / len(queries)


def memory_smoothing(epsilon):
    return [[1 - epsilon if i == j else epsilon / (N - 1) for j in range(N)] for i in range(N)]


def assert_same_with_gradients(found, expected, inputs):
    assert found.item() == pytest.approx(expected.item(), rel=1e-10, abs=1e-12)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_pair_nce_is_the_mean_of_both_cross_entropies(epsilon):
    images, texts, scale = pairs()
    targets = memory_smoothing(epsilon)
    expected = naive_cross_entropy(images, texts, scale, targets) + naive_cross_entropy(
        texts, images, scale, targets
    )
    assert_same_with_gradients(
        clip_loss(images, texts, scale, epsilon), expected / 2, [images, texts, scale]
    )


def test_a_perfect_match_costs_nothing_and_a_collapse_log_n():
    unlike = torch.eye(N)
    assert clip_loss(unlike, unlike, 100.0).item() == pytest.approx(0, abs=1e-6)
    positives_logsumexp = torch.ones(N, D) / math.sqrt(D)
    assert clip_loss(positives_logsumexp, positives_logsumexp, 100.0).item() == pytest.approx(
        math.log(N), rel=1e-5
    )


def test_pair_divergence_is_the_mean_of_both_kl_divergences():
    images, texts, scale = pairs()
    torch.manual_seed(3)
    of_images, of_texts = torch.randn(2, N, N, dtype=torch.float64).mul(3).softmax(dim=2)
    expected = 0.0
    for queries, keys, targets in ((images, texts, of_images), (texts, images, of_texts)):
        entropy = -(targets * targets.log()).sum() / N
        expected = expected + naive_cross_entropy(queries, keys, scale, targets.tolist()) - entropy
    found = pair_divergence(images, texts, of_images, of_texts, scale)
    assert_same_with_gradients(found, expected / 2, [images, texts, scale])


def test_pair_divergence_is_nothing_where_both_agree_and_sends_targets_no_gradient():
    images, texts, scale = pairs()
    logits = scale * images @ texts.T
    found = pair_divergence(images, texts, logits.softmax(1), logits.T.softmax(1), scale)
    assert found.item() == pytest.approx(0, abs=1e-12)
    assert max(g.abs().max() for g in torch.autograd.grad(found, [images, texts, scale])) < 1e-12


def test_certain_targets_make_the_divergence_pair_nce():
    images, texts, scale = pairs()
    eye = torch.eye(N, dtype=torch.float64)
    torch.testing.assert_close(
        pair_divergence(images, texts, eye, eye, scale), clip_loss(images, texts, scale)
    )


@pytest.mark.parametrize(("c_v", "c_t"), [(0, 0), (1, 1), (0.5, 2)])
def test_pair_targets_are_the_softmax_of_weighted_likenesses(c_v, c_t):
    images, texts, _ = pairs()
    found = pair_targets(images, texts, 9.0, c_v, c_t)
    assert found.shape == (2, N, N) and not found.requires_grad
    for i in range(N):
        for way, (ours, other) in enumerate(((images, texts), (texts, images))):
            scores = [
                9
                * (
                    c_v * images[i].dot(images[j])
                    + c_t * texts[i].dot(texts[j])
                    + ours[i].dot(other[j])
                )
                for j in range(N)
            ]
            expected = torch.stack(scores).detach().softmax(0)
            torch.testing.assert_close(found[way, i], expected)


def test_transported_targets_leave_the_named_partner_out_and_want_each_alike():
    torch.manual_seed(1)
    images, texts = (F.normalize(torch.randn(6, 8, dtype=torch.float64), dim=1) for _ in range(2))
    found = optimal_transport_targets(images, texts, iterations=200)
    assert found.diagonal(dim1=1, dim2=2).max() < 1e-12
    torch.testing.assert_close(found.sum(2), torch.ones(2, 6, dtype=torch.float64))
    torch.testing.assert_close(
        found.sum(1), torch.ones(2, 6, dtype=torch.float64), rtol=1e-3, atol=1e-3
    )
    table = (images @ images.T + texts @ texts.T + images @ texts.T) / 0.15
    table = table.masked_fill(torch.eye(6, dtype=torch.bool), -torch.inf).exp()
    table = table / table.sum(1, keepdim=True)  # rows first, as in the authors' code
    for _ in range(5):
        table = table / table.sum(0)
        table = table / table.sum(1, keepdim=True)
    torch.testing.assert_close(optimal_transport_targets(images, texts)[0], table)


@pytest.mark.parametrize("call", [
    lambda v, t: clip_loss(v[:1], t[:1], 5.0), lambda v, t: clip_loss(v, t[:3], 5.0),
    lambda v, t: pair_targets(v, t[:, :2]), lambda v, t: optimal_transport_targets(v[:0], t[:0]),
])  # fmt: skip
def test_what_is_no_batch_of_pairs_is_refused(call):
    images, texts, _ = pairs()
    with pytest.raises(LossInputError, match=r"texts|images"):
        call(images, texts)


def test_smoothing_has_its_bounds():
    images, texts, scale = pairs()
    with pytest.raises(LossInputError, match="smoothing=1"):
        clip_loss(images, texts, scale, 1.0)


def test_in_bfloat16_it_is_computed_in_float32():
    images, texts, _ = pairs()
    rounded = images.bfloat16(), texts.bfloat16()
    found = clip_loss(*rounded, 7.0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, clip_loss(*(each.float() for each in rounded), 7.0))
