"""Barlow Twins' loss against naive loops and PyTorch's own batch normalisation."""

import pytest
import torch
import torch.nn.functional as F

from likewise.losses import LossInputError, barlow_twins, cross_correlation
from losses.vectors import raw

A, B = raw(6, 4, 0), raw(6, 4, 0.5)


def naive_correlation(first, second):
    rows, width = first.shape
    result = torch.zeros(width, width, dtype=first.dtype)
    for i in range(width):
        for j in range(width):
            x, y = first[:, i] - first[:, i].mean(), second[:, j] - second[:, j].mean()
            spread = torch.sqrt((x @ x / rows + 1e-5) * (y @ y / rows + 1e-5))
            result[i, j] = sum(x[k] * y[k] for k in range(rows)) / rows / spread
    return result


def naive_loss(first, second, weight):
    correlation, loss = naive_correlation(first, second), 0.0
    for i in range(len(correlation)):
        for j in range(len(correlation)):
            loss = loss + (
                (1 - correlation[i, j]) ** 2 if i == j else weight * correlation[i, j] ** 2
            )
    return loss


def test_correlation_is_the_textbook_one():
    torch.testing.assert_close(cross_correlation(A, B), naive_correlation(A, B))


def test_it_standardises_as_batch_normalisation_does():
    ours = cross_correlation(A, B)
    theirs = (
        F.batch_norm(A, None, None, training=True).T
        @ F.batch_norm(B, None, None, training=True)
        / len(A)
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("weight", [0.0051, 0.5])
def test_loss_and_gradients_equal_the_naive_ones(weight):
    ours = [t.clone().requires_grad_() for t in (A, B)]
    naive = [t.clone().requires_grad_() for t in (A, B)]
    found, expected = barlow_twins(*ours, weight), naive_loss(*naive, weight)
    found.backward()
    expected.backward()
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-10)
    for our_own, theirs in zip(ours, naive, strict=True):
        torch.testing.assert_close(our_own.grad, theirs.grad)


def test_equal_views_of_independent_coordinates_lose_nothing():
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)
    assert float(barlow_twins(3 * signs + 7, 2 * signs, 1.0)) == pytest.approx(0, abs=1e-9)


def test_a_coordinate_that_stands_still_is_not_a_division_by_zero():
    still = A.clone()
    still[:, 0] = 2.0
    still.requires_grad_()
    barlow_twins(still, B).backward()
    assert bool(still.grad.isfinite().all())


@pytest.mark.parametrize(("first", "second"), [(A, B[:3]), (A[:1], B[:1]), (A[:, 0], B[:, 0])])
def test_views_that_do_not_fit_are_refused(first, second):
    with pytest.raises(LossInputError, match=r"first|second|two views"):
        barlow_twins(first, second)
