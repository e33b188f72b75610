"""A loss that comes with its gradient."""

import pytest
import torch

from likewise.losses.differentiated import differentiated
from likewise.losses.second_derivatives import NotTwiceDifferentiable


def test_it_hands_out_what_it_was_given_times_what_comes_from_above():
    weight = torch.zeros(3, requires_grad=True)
    loss = differentiated(torch.tensor(7.0), (weight, torch.tensor([1.0, 2.0, 3.0])))
    assert loss.item() == 7
    (10 * loss).backward()
    assert weight.grad.tolist() == [10, 20, 30]


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_parts_of_the_gradient_of_one_number_are_summed(shape):
    weight, scale = torch.zeros(2, requires_grad=True), torch.ones(shape, requires_grad=True)
    parts = torch.tensor([1.0, 2.0, 3.0, 4.0])
    differentiated(torch.tensor(0.0), (weight, torch.ones(2)), (scale, parts)).backward()
    assert scale.grad.shape == shape and scale.grad.item() == 10


def test_a_number_and_what_needs_no_gradient_take_none():
    weight, fixed = torch.zeros(2, requires_grad=True), torch.zeros(2)
    given = (weight, torch.ones(2)), (0.1, torch.ones(2)), (fixed, torch.ones(2))
    differentiated(torch.tensor(0.0), *given).backward()
    assert weight.grad.tolist() == [1, 1] and fixed.grad is None


def test_the_loss_may_be_changed_in_place_and_what_was_given_stays():
    weight = torch.zeros(2, requires_grad=True)
    given = torch.tensor(7.0)
    loss = differentiated(given, (weight, torch.ones(2)))
    loss /= 2
    loss.backward()
    assert weight.grad.tolist() == [0.5, 0.5] and not given.requires_grad


def test_a_second_derivative_is_refused():
    weight = torch.zeros(2, requires_grad=True)
    loss = differentiated(torch.tensor(0.0), (weight, torch.ones(2)))
    with pytest.raises(NotTwiceDifferentiable):
        torch.autograd.grad(loss, weight, create_graph=True)
