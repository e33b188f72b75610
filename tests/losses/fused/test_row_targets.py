"""The losses of rows with a target each in few launches, against the same in float64 by PyTorch's operations."""

import pytest
import torch

from likewise import losses
from likewise.gpu_kernels import kernels
from likewise.losses.fused import row_targets, unit_rows
from likewise.losses.second_derivatives import NotTwiceDifferentiable
from losses.kernels import (
    DEVICE,
    Counted,
    beside,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)
from losses.launches import Launches


def logits(rows, classes, seed):
    drawn = torch.randn(
        rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return (4 * drawn).to(DEVICE)


def soft_targets(given):
    """Rows of different sums, some of them zeros, as FixMatch has."""
    targets = given.softmax(dim=1)
    targets[::3] = 0
    targets[1::3] *= 0.5
    return targets


LOSSES = {
    "soft_cross_entropy": lambda given, other: losses.soft_cross_entropy(
        given, soft_targets(other)
    ),
    "knowledge_distillation": lambda given, other: losses.knowledge_distillation(given, other, 1.0),
    "cosine_regression": losses.cosine_regression,
    "distillation at 4": lambda given, other: losses.knowledge_distillation(given, other, 4.0),
}


@pytest.fixture
def launched(monkeypatch):
    """Names of the kernels that were launched; several parts of a row."""
    names = []
    monkeypatch.setattr(row_targets, "kernels", lambda file: Counted(kernels(file), names))
    monkeypatch.setattr(row_targets, "CLASSES", 16)
    return names


def value_and_gradient(loss, given, other):
    given = given.detach().requires_grad_()
    value = loss(given, other)
    (gradient,) = torch.autograd.grad(value * 1.7, given)
    return value.detach().double(), gradient.double()


@on_kernels
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (37, 10), (32, 16), (5, 45)])
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_give_value_and_gradient(name, rows, classes, launched):
    given = logits(rows, classes, 0), logits(rows, classes, 1)
    value, gradient = value_and_gradient(LOSSES[name], *given)
    assert not launched  # float64 goes another way
    found, found_gradient = value_and_gradient(LOSSES[name], *(each.float() for each in given))
    assert launched
    torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-5, atol=3e-7)


@on_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_take_half_precision_and_what_is_not_contiguous(name, dtype, launched):
    """Logits of one kind, and targets of another; the gradient has the logits' format."""
    given, other = logits(20, 60, 0).to(dtype)[:, ::2], logits(30, 20, 1).float().T
    value, gradient = value_and_gradient(LOSSES[name], given.double(), other.double())
    found, found_gradient = value_and_gradient(LOSSES[name], given, other)
    assert launched
    torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-2, atol=1e-4)


@on_kernels
def test_kernels_give_exactly_nothing_where_student_and_teacher_agree(launched):
    given = logits(20, 30, 0).float()
    loss, gradient = value_and_gradient(LOSSES["distillation at 4"], given, given)
    assert launched and loss == 0 and (gradient == 0).all()


@on_kernels
def test_kernels_give_rows_of_zeros_what_pytorch_gives(launched):
    """A row without a direction has a cosine of 0, and the gradient of a length of 1e-12."""
    given, other = logits(3, 8, 0), logits(3, 8, 1)
    given[1], other[2] = 0, 0
    value, gradient = value_and_gradient(losses.cosine_regression, given, other)
    found, found_gradient = value_and_gradient(
        losses.cosine_regression, given.float(), other.float()
    )
    assert launched
    torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found_gradient, gradient, rtol=1e-5, atol=1e-6)


@on_kernels
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_pass_nan_on(name, launched):
    given, other = logits(20, 30, 0).float(), logits(20, 30, 1).float()
    given[4, 2] = torch.nan
    loss, gradient = value_and_gradient(LOSSES[name], given, other)
    assert launched and loss.isnan() and gradient[4].isnan().all()


@on_kernels
@pytest.mark.parametrize(
    "name", ["soft_cross_entropy", "knowledge_distillation", "cosine_regression"]
)
def test_kernels_are_one_and_little_stands_beside_it(name, launched):
    """PyTorch sums up; backward, it multiplies."""
    given, other = logits(20, 10, 0).float().requires_grad_(), logits(20, 10, 1).float()
    more, one = {"knowledge_distillation": (4.0,)}.get(name, ()), torch.ones((), device=DEVICE)
    with Launches() as forward:
        value = getattr(losses, name)(given, other, *more)
    with Launches() as backward:
        torch.autograd.grad(value, given, one)
    assert launched == ["cosine_kernel" if name == "cosine_regression" else "logits_kernel"]
    assert [sum(beside(each).values()) for each in (forward, backward)] == [1, 1]


@on_kernels
def test_kernels_leave_what_they_do_not_serve(launched, monkeypatch):
    given = logits(4, 5, 0).float()
    with pytest.raises(losses.LossInputError):
        losses.knowledge_distillation(given, given, -1.0)
    monkeypatch.setenv("LIKEWISE_NATIVE", "0")
    losses.knowledge_distillation(given, given, 2.0)
    losses.soft_cross_entropy(given, given.softmax(dim=1))
    losses.cosine_regression(given, given)
    monkeypatch.delenv("LIKEWISE_NATIVE")
    wide = logits(2, unit_rows.MOST_COLUMNS + 1, 0).float()
    losses.cosine_regression(wide, wide)
    assert not launched


@on_kernels
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_refuse_second_derivatives(name):
    given = logits(4, 5, 0).float().requires_grad_()
    with pytest.raises(NotTwiceDifferentiable):
        torch.autograd.grad(LOSSES[name](given, logits(4, 5, 1).float()), given, create_graph=True)


COMPILING = """
from likewise.losses.fused import row_targets
row_targets.kernels = compiled
for classes, dtype in ((10, torch.float32), (5000, torch.bfloat16)):
    z = torch.ones(512, classes, dtype=dtype, requires_grad=True)
    row_targets.soft_cross_entropy(z, torch.ones(512, classes)).backward()
    row_targets.knowledge_distillation(z, z.detach(), 4.0).backward()
    row_targets.cosine_regression(z, z.detach()).backward()
"""


@needs_triton
@pytest.mark.slow
def test_the_compiler_takes_all_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 6
