"""Losses under the transforms of `torch.func`: gradients, losses of many batches at once, and both together."""

import pytest
import torch
from torch.func import grad, hessian, vmap

from likewise import losses
from likewise.losses import dense
from losses.calls import CALLS, MODULES, call


def scalar_losses():
    """(loss, its first argument) of each that gives one number by floating-point rows."""
    for name, given in {**CALLS, **MODULES}.items():
        argument, rows = next(iter(given.items()))
        if isinstance(rows, torch.Tensor) and call(name).dim() == 0:
            yield name, argument


def function_of(name, argument):
    return lambda rows: call(name, **{argument: rows})


def batches_of(name, argument):
    rows = {**CALLS, **MODULES}[name][argument]
    return torch.stack([rows, 2 * rows.flip(0), rows - 0.3])


@pytest.mark.parametrize(("name", "argument"), list(scalar_losses()))
def test_the_gradient_is_that_of_autograd(name, argument):
    loss, rows = function_of(name, argument), batches_of(name, argument)[2]
    leaf = rows.clone().requires_grad_()
    value = loss(leaf)
    if not value.requires_grad:
        pytest.skip("takes no gradient by this argument")
    torch.testing.assert_close(grad(loss)(rows), torch.autograd.grad(value, leaf)[0])


@pytest.mark.parametrize(("name", "argument"), list(scalar_losses()))
def test_many_batches_at_once_are_each_alone(name, argument):
    loss, batches = function_of(name, argument), batches_of(name, argument)
    torch.testing.assert_close(vmap(loss)(batches), torch.stack([loss(rows) for rows in batches]))
    per_batch = vmap(grad(loss))(batches)
    torch.testing.assert_close(per_batch, torch.stack([grad(loss)(rows) for rows in batches]))


@pytest.mark.parametrize("kind", ["out", "in"])
def test_batches_with_labels_of_their_own(kind):
    """Some rows have no positive: an unlabelled one, and one that is alone in its class."""
    random = torch.Generator().manual_seed(0)
    z = torch.randn(3, 6, 4, generator=random)
    labels = torch.tensor([[0, 0, 1, 1, 2, -1], [0, 1, 1, 1, 1, 0], [2, 2, 2, -1, 0, 1]])

    def loss(rows, ids):
        return losses.sup_con(rows, ids, kind=kind)

    together = vmap(grad(loss))(z, labels)
    for rows, ids, found in zip(z, labels, together, strict=True):
        leaf = rows.clone().requires_grad_()
        torch.testing.assert_close(found, torch.autograd.grad(loss(leaf, ids), leaf)[0])


def test_second_derivatives_are_those_of_the_dense_form():
    z = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    other, queue = z.flip(0) + 1, torch.eye(3, dtype=torch.float64)
    found = hessian(lambda rows: losses.queue_nce(rows, other, queue, 0.3))(z)
    torch.testing.assert_close(
        found, hessian(lambda rows: dense.queue_nce(rows, other, queue, 0.3))(z)
    )
