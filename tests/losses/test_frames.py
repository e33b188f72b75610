"""Errors over the valid frames of clips, against loops that go from number to number."""

import pytest
import torch

from likewise.losses import masked_l1, r2_score
from likewise.randomness import generator

VALID = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=torch.uint8)


def rows(seed):
    return torch.randn(3, 4, 5, generator=generator(seed), dtype=torch.float64)


def naive_l1(prediction, target):
    errors = [
        sum(abs(p - t) for p, t in zip(prediction[b, f], target[b, f], strict=True)) / 5
        for b in range(3)
        for f in range(4)
        if VALID[b, f]
    ]
    return sum(errors) / len(errors)


def test_l1_is_the_loop_gradient_included():
    target = rows(1)
    found = []
    for way in (lambda p: masked_l1(p, target, VALID), lambda p: naive_l1(p, target)):
        prediction = rows(0).requires_grad_()
        loss = way(prediction)
        loss.backward()
        found.append((loss.detach(), prediction.grad))
    for ours, naive in zip(*found, strict=True):
        torch.testing.assert_close(ours, naive)


def test_no_gradient_reaches_the_target():
    target, prediction = rows(1).requires_grad_(), rows(0).requires_grad_()
    masked_l1(prediction, target, VALID).backward()
    assert target.grad is None and prediction.grad is not None


def test_explained_is_one_minus_the_squares_left_over():
    prediction, target = rows(0), rows(1)
    left = sum(
        ((prediction - target)[b, f] ** 2).sum() for b in range(3) for f in range(4) if VALID[b, f]
    )
    all_ = sum((target[b, f] ** 2).sum() for b in range(3) for f in range(4) if VALID[b, f])
    assert float(r2_score(prediction, target, VALID)) == pytest.approx(
        float(1 - left / all_), rel=1e-12
    )
    assert float(r2_score(target, target, VALID)) == 1
    assert float(r2_score(torch.zeros_like(target), target, VALID)) == pytest.approx(0, abs=1e-12)
