"""The losses within a batch in few launches, against the same losses in float64 by PyTorch's operations.

On a machine with a GPU the kernels are compiled. Elsewhere Triton's interpreter runs them, in a process of its own.
"""

import pytest
import torch

from likewise import losses
from likewise.gpu_kernels import kernels
from likewise.losses.float32 import unit
from likewise.losses.fused import gpu_sizes, row_passes, unit_rows, within_batch
from likewise.losses.fused.tiling import Tiles
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


def rows(count, width=12, seed=0):
    drawn = torch.randn(
        count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return (3 * drawn).to(DEVICE)


def whole_numbers(count, low=-1):
    return torch.randint(low, 4, (count,), generator=torch.Generator().manual_seed(1)).to(DEVICE)


LOSSES = {
    "nt_xent": lambda z, t: losses.nt_xent(*z.chunk(2), t),
    "out": lambda z, t: losses.sup_con(z, whole_numbers(len(z)), t, "out"),
    "out of views, over all": lambda z, t: losses.sup_con(
        z.unflatten(0, (-1, 2)), whole_numbers(len(z) // 2), t, "out", "all"
    ),
    "in": lambda z, t: losses.sup_con(z, whole_numbers(len(z)), t, "in"),
    "in of views": lambda z, t: losses.sup_con(
        z.unflatten(0, (-1, 2)), whole_numbers(len(z) // 2), t, "in"
    ),
    "nca": lambda z, t: losses.suncet(z, whole_numbers(len(z), 0), t),
}

SIZES = {  # rows, columns, and for which columns the scores of how many rows are kept
    "narrow": (50, 12, {}),
    "wide": (18, 300, {}),
    "kept": (50, 12, {12: 50}),
}
BOUNDED, WITH_MAXIMA = 0.2, 0.01
"""Temperatures: at the second scores may overflow, so that maxima are taken off."""


def value_and_gradient(loss, z, temperature):
    z = z.detach().requires_grad_()
    value = loss(z, temperature)
    (gradient,) = torch.autograd.grad(value * 1.7, z)
    return value.detach().double(), gradient.double()


@pytest.fixture
def counted(monkeypatch):
    """How often the kernels' loss was taken."""
    calls = []
    made = within_batch.loss_within_batch
    monkeypatch.setattr(
        within_batch,
        "loss_within_batch",
        lambda *args, **kwargs: calls.append(1) or made(*args, **kwargs),
    )
    return calls


@on_kernels
@pytest.mark.parametrize(
    ("size", "temperature"),
    [
        ("narrow", BOUNDED),
        ("narrow", WITH_MAXIMA),
        ("wide", BOUNDED),
        pytest.param("wide", WITH_MAXIMA, marks=pytest.mark.slow),
        pytest.param("kept", BOUNDED, marks=pytest.mark.slow),
        ("kept", WITH_MAXIMA),
    ],
)
@pytest.mark.parametrize("name", LOSSES)
def test_kernels_give_value_and_gradient(name, size, temperature, counted, monkeypatch):
    """By three programs that share the columns of a block, of which the last has none."""
    count, width, kept = SIZES[size]
    for choice in ("_forward_tiles", "_backward_tiles"):
        monkeypatch.setattr(row_passes, choice, lambda count, width: Tiles(16, 32, splits=3))
    monkeypatch.setattr(gpu_sizes, "KEPT_ROWS", kept)
    z = rows(count, width)
    value, gradient = value_and_gradient(LOSSES[name], z, temperature)
    assert not counted  # float64 goes another way
    found, found_gradient = value_and_gradient(LOSSES[name], z.float(), temperature)
    assert counted
    torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-6)
    assert (found_gradient - gradient).norm() < 1e-5 * gradient.norm()


@on_kernels
@pytest.mark.parametrize("products", [0, 1], ids=["made again", "kept"])
@pytest.mark.parametrize(
    ("name", "others"), [("nt_xent", 1), ("out", 0), ("in of views", 0), ("nca", 0)]
)
def test_kernels_are_five_and_little_stands_beside_them(name, others, products, monkeypatch):
    """PyTorch joins two views; labels and half precision cost nothing. The backward is two.

    Where scores are kept, PyTorch multiplies too, once each way.
    """
    monkeypatch.setattr(gpu_sizes, "KEPT_ROWS", {12: 16} if products else {})
    launched = []
    for module in (within_batch, row_passes, unit_rows):
        monkeypatch.setattr(module, "kernels", lambda file: Counted(kernels(file), launched))
    z, labels = rows(16).to(torch.bfloat16).requires_grad_(), whole_numbers(16, 0)
    loss = {
        "nt_xent": lambda: losses.nt_xent(z[:8], z[8:]),
        "out": lambda: losses.sup_con(z, labels),
        "in of views": lambda: losses.sup_con(z.unflatten(0, (8, 2)), labels[:8], kind="in"),
        "nca": lambda: losses.suncet(z, labels),
    }[name]
    with Launches() as operations:
        value = loss()
    assert launched == ["unit_kernel", "rows_kernel", "mean_kernel"]
    assert sum(beside(operations).values()) == others + products, beside(operations)
    with Launches() as operations:
        (gradient,) = torch.autograd.grad(value, z)
    assert beside(operations).get("aten.mm", 0) == products
    assert launched[3:] == ["slopes_kernel", "gradient_kernel"]
    assert gradient.dtype == torch.bfloat16


@on_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernels_take_half_precision_and_give_its_gradient(dtype):
    z = rows(70).to(dtype)
    value, gradient = value_and_gradient(LOSSES["nt_xent"], z.double(), 0.2)
    found, found_gradient = value_and_gradient(LOSSES["nt_xent"], z, 0.2)
    torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-6)
    assert (found_gradient - gradient).norm() < 1e-2 * gradient.norm()


@on_kernels
def test_kernels_keep_scores_in_float32_under_autocast():
    z = rows(20).float()
    assert gpu_sizes.keeps_scores(*z.shape)
    right, gradient = value_and_gradient(LOSSES["nt_xent"], z, 0.05)
    with torch.autocast(DEVICE, torch.bfloat16):
        found, found_gradient = value_and_gradient(LOSSES["nt_xent"], z, 0.05)
    assert found == right
    assert torch.equal(found_gradient, gradient)


@on_kernels
@pytest.mark.parametrize("temperature", [0.2, 0.01])
def test_kernels_give_nan_where_nothing_can_be_learned(temperature):
    labels = torch.zeros(8, dtype=torch.int64, device=DEVICE)
    assert losses.suncet(rows(8).float(), labels, temperature).isnan()
    assert losses.sup_con(rows(8).float(), torch.arange(8, device=DEVICE), temperature).isnan()


@on_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kernels_make_unit_rows_in_one_launch_each_way(dtype, monkeypatch):
    """Of a slice, with a row of zeros; a gradient that comes expanded is read as it is meant."""
    launched = []
    monkeypatch.setattr(unit_rows, "kernels", lambda file: Counted(kernels(file), launched))
    z = rows(7, 40).to(dtype)[:, ::2]
    z[3] = 0
    right, gradient = value_and_gradient(lambda z, length: unit(z, length).sum(), z.double(), 1.5)
    assert not launched
    found, found_gradient = value_and_gradient(lambda z, length: unit(z, length).sum(), z, 1.5)
    assert launched == ["unit_kernel", "unit_gradient_kernel"]
    torch.testing.assert_close(found, right, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(
        found_gradient, gradient, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-5
    )


@on_kernels
def test_kernels_of_unit_rows_can_be_differentiated_twice():
    def curvature(z):
        z = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad((unit(z)[:, 0] ** 3).sum(), z, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), z)[0]

    torch.testing.assert_close(
        curvature(rows(5).float()).double(), curvature(rows(5)), rtol=1e-4, atol=1e-6
    )


@on_kernels
def test_kernels_refuse_second_derivatives():
    z = rows(8).float().requires_grad_()
    (gradient,) = torch.autograd.grad(
        losses.nt_xent(*z.chunk(2)), z, create_graph=False, retain_graph=True
    )
    assert gradient.isfinite().all()
    with pytest.raises(NotTwiceDifferentiable):
        torch.autograd.grad(losses.nt_xent(*z.chunk(2)), z, create_graph=True)


@on_kernels
def test_kernels_leave_what_they_do_not_serve(counted):
    z = rows(8).float()
    losses.nt_xent(*z.chunk(2), temperature=torch.tensor(0.2, device=DEVICE))
    losses.nt_xent(*z.chunk(2), detach_keys=True)
    losses.nt_xent(*rows(8, width=within_batch.MOST_COLUMNS + 1).float().chunk(2))
    assert not counted


COMPILING = """
from likewise.losses.fused import row_passes, unit_rows, within_batch
within_batch.kernels = row_passes.kernels = unit_rows.kernels = compiled
for count, width, form in ((1024, 128, "pairs"), (4096, 128, "in"), (8192, 768, "out")):
    z = torch.ones(count, width, dtype=torch.bfloat16, requires_grad=True)
    labels = None if form == "pairs" else torch.arange(count) // 2
    within_batch.loss_within_batch(z, labels, 0.2, form).backward()
"""


@needs_triton
@pytest.mark.slow
def test_the_compiler_takes_all_for_a_gpu_that_is_not_here():
    """What the interpreter runs may still not compile; this compiles for capability 9.0."""
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 15
