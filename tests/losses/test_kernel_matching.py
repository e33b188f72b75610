"""The losses of similarity matrices against loops over pairs."""

import math

import pytest
import torch

from likewise.losses import (
    LossInputError,
    kernel_alignment,
    kernel_cross_entropy,
    kernel_regression,
)
from likewise.losses.kernel_matching import gaussian_log_kernel, mean_cosine
from likewise.randomness import generator

WIDTH, TEMPERATURE = 0.7, 0.3


def sets(count=3, size=5, dim=4, name="embeddings"):
    rows = torch.randn(count, size, dim, generator=generator(1, name), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=-1)


def flows(count=3, size=5):
    return torch.randn(count, size, 2, generator=generator(1, "flows"), dtype=torch.float64)


def kernel(first, second):
    return math.exp(
        -sum((a - b) ** 2 for a, b in zip(first.tolist(), second.tolist(), strict=True))
        / (2 * WIDTH**2)
    )


def naive_cross_entropy(phi, flow, target):
    """Of one set."""
    total = phi.new_zeros(())
    for p in range(len(phi)):
        others = [q for q in range(len(phi)) if q != p]
        kernels = [kernel(flow[p], flow[q]) for q in others]
        raised = kernels if target == "l1" else [math.exp(k / TEMPERATURE) for k in kernels]
        all_logsumexp = sum((phi[p] @ phi[q] / TEMPERATURE).exp() for q in others)
        for q, share in zip(others, raised, strict=True):
            total = (
                total
                - share
                / sum(raised)
                * ((phi[p] @ phi[q] / TEMPERATURE).exp() / all_logsumexp).log()
            )
    return total / len(phi)


def naive_regression(phi, flow):
    pairs = [(p, q) for p in range(len(phi)) for q in range(len(phi)) if p != q]
    return sum(((1 + phi[p] @ phi[q]) / 2 - kernel(flow[p], flow[q])) ** 2 for p, q in pairs) / len(
        pairs
    )


def naive_alignment(phi, flow):
    pairs = [(p, q) for p in range(len(phi)) for q in range(len(phi)) if p != q]
    product = sum((phi[p] @ phi[q]) * kernel(flow[p], flow[q]) for p, q in pairs)
    ours = sum((phi[p] @ phi[q]) ** 2 for p, q in pairs).sqrt()
    return -product / ours / math.sqrt(sum(kernel(flow[p], flow[q]) ** 2 for p, q in pairs))


LOSSES = {
    "cross-entropy l1": (
        lambda phi, log_kernel, weights: kernel_cross_entropy(
            phi, log_kernel, TEMPERATURE, "l1", weights
        ),
        lambda phi, flow: naive_cross_entropy(phi, flow, "l1"),
    ),
    "cross-entropy softmax": (
        lambda phi, log_kernel, weights: kernel_cross_entropy(
            phi, log_kernel, TEMPERATURE, "softmax", weights
        ),
        lambda phi, flow: naive_cross_entropy(phi, flow, "softmax"),
    ),
    "regression": (kernel_regression, naive_regression),
    "alignment": (kernel_alignment, naive_alignment),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("weights", [None, (1.0, 0.0, 0.5)])
def test_value_and_gradient_equal_the_naive_loop(name, weights):
    loss, naive = LOSSES[name]
    phi, flow = sets().requires_grad_(), flows().requires_grad_()
    shares = weights or (1.0, 1.0, 1.0)
    ours = loss(
        phi,
        gaussian_log_kernel(flow, WIDTH),
        torch.tensor(shares, dtype=torch.float64) if weights else None,
    )
    theirs = sum(w * naive(phi[b], flow[b].detach()) for b, w in enumerate(shares)) / sum(shares)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    of_mine, of_flow = torch.autograd.grad(ours, [phi, flow], allow_unused=True)
    torch.testing.assert_close(of_mine, torch.autograd.grad(theirs, phi)[0], rtol=1e-10, atol=1e-12)
    assert of_flow is None


@pytest.mark.parametrize("name", LOSSES)
def test_sets_without_weight_give_zero_and_a_gradient_of_zero(name):
    phi = sets().requires_grad_()
    loss = LOSSES[name][0](
        phi, gaussian_log_kernel(flows(), WIDTH), torch.zeros(3, dtype=torch.float64)
    )
    loss.backward()
    assert loss.item() == 0 and phi.grad is not None and phi.grad.abs().sum() == 0


def test_a_flow_far_from_all_others_still_has_probabilities():
    """exp(-1000) is zero in float32; dividing a row of zeros by its sum would give NaN."""
    flow = torch.tensor([[[0.0, 0.0], [0.1, 0.0], [90.0, 90.0]]])
    phi = sets(1, 3).float().requires_grad_()
    loss = kernel_cross_entropy(phi, gaussian_log_kernel(flow, 0.5))
    loss.backward()
    assert loss.isfinite() and phi.grad is not None and phi.grad.isfinite().all()


def test_what_moves_together_and_is_alike_costs_less_than_what_does_not():
    flow = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [3.0, 0.0], [3.0, 0.0]]])
    right, wrong = torch.eye(2)[[0, 0, 1, 1]][None], torch.eye(2)[[0, 1, 0, 1]][None]
    log_kernel = gaussian_log_kernel(flow, 0.5)
    for loss in (kernel_cross_entropy, kernel_regression, kernel_alignment):
        assert loss(right, log_kernel) < loss(wrong, log_kernel) - 0.1, loss.__name__
    assert kernel_alignment(right, log_kernel).item() == pytest.approx(-1, abs=1e-6)


def test_mean_cosine_is_that_of_all_pairs():
    phi = sets()
    pairs = [
        (phi[b, p] @ phi[b, q]).item()
        for b in range(3)
        for p in range(5)
        for q in range(5)
        if p != q
    ]
    assert mean_cosine(phi).item() == pytest.approx(sum(pairs) / len(pairs), rel=1e-12)


def test_losses_refuse_what_does_not_fit():
    log_kernel = gaussian_log_kernel(flows(), WIDTH)
    with pytest.raises(LossInputError, match="log_kernel"):
        kernel_regression(sets(size=6), log_kernel)
    with pytest.raises(LossInputError, match="temperature"):
        kernel_cross_entropy(sets(), log_kernel, temperature=0.0)
    with pytest.raises(LossInputError, match="width"):
        gaussian_log_kernel(flows(), 0.0)
    with pytest.raises(LossInputError, match="one"):
        kernel_alignment(sets(size=1), log_kernel[:, :1, :1])
