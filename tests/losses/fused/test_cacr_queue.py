"""CACR's terms with a teacher and a queue in few launches, compared with the same in float64 by PyTorch's operations.

Those are compared with loops over the paper's formula in `losses.test_attraction_repulsion` and `methods.test_cacr`.
"""

import pytest
import torch
import torch.nn.functional as F

from likewise.errors import LikewiseError
from likewise.gpu_kernels import kernels
from likewise.losses.attraction_repulsion import terms_with_queue, unit_views
from likewise.losses.fused import cacr_queue, kernels_first, unit_rows
from likewise.losses.fused.tiling import Tiles
from likewise.losses.second_derivatives import NotTwiceDifferentiable
from losses.kernels import (
    DEVICE,
    INTERPRETED,
    Counted,
    beside,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)
from losses.launches import Launches


def drawn(*shape, seed=0):
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.to(DEVICE)


@pytest.fixture
def launched(monkeypatch):
    """Names of the kernels that were launched; several blocks, tiles and shares of the queue."""
    names = []
    for module in (unit_rows, cacr_queue):
        monkeypatch.setattr(module, "kernels", lambda file: Counted(kernels(file), names))
    monkeypatch.setattr(cacr_queue, "_tiles", lambda width: Tiles(16, 16, splits=3))
    return names


OURS = ["repulsion_kernel", "rows_kernel", "gradient_kernel"]
SHARPNESS = 1.0, 2.0


class Given:
    """Projections [B, V, D], those of a teacher, and a queue [K, D] of unit vectors."""

    def __init__(self, images=9, views=3, width=8, keys=20):
        self.z = drawn(images, views, width)
        self.keys = drawn(images, views, width, seed=1)
        self.queue = F.normalize(drawn(keys, width, seed=2), dim=1)

    def terms(self, z, sharpness=SHARPNESS, through_weights=True, dtype=torch.float32):
        keys, queue = self.keys.to(dtype), self.queue.to(dtype)
        return terms_with_queue(unit_views(z), unit_views(keys), queue, *sharpness, through_weights)

    def found(self, dtype, sharpness=SHARPNESS, through_weights=True, weights=(1.0, 1.0)):
        """Both terms, and the gradient of a sum of them."""
        z = self.z.to(dtype, copy=True).requires_grad_()
        attraction, repulsion = self.terms(z, sharpness, through_weights, dtype)
        (gradient,) = torch.autograd.grad(weights[0] * attraction + weights[1] * repulsion, z)
        return attraction.detach().double(), repulsion.detach().double(), gradient.double()


def assert_close(found, right, tolerance):
    for value, expected in zip(found[:2], right[:2], strict=True):
        torch.testing.assert_close(value, expected, rtol=tolerance, atol=tolerance / 10)
    assert (found[2] - right[2]).norm() <= tolerance * (right[2].norm() + 1e-2)


@on_kernels
@pytest.mark.parametrize("through_weights", [True, False])
@pytest.mark.parametrize(
    ("sizes", "sharpness"),
    [
        ((2, 2, 3, 1), SHARPNESS),
        ((21, 3, 24, 70), (0.0, 0.9)),
        ((16, 4, 16, 48), (1.7, 0.0)),
        ((20, 2, 16, 33), (60.0, 200.0)),
        ((3, 9, 6, 5), SHARPNESS),
        ((5, 2, 300, 40), SHARPNESS),
    ],
    ids=["least", "odd", "round", "sharp", "many views", "wide"],
)
def test_kernels_give_value_and_gradient(sizes, sharpness, through_weights, launched):
    given = Given(*sizes)
    weights = 1.7, 0.6
    right = given.found(torch.float64, sharpness, through_weights, weights)
    assert not launched  # float64 goes another way
    found = given.found(torch.float32, sharpness, through_weights, weights)
    assert [name for name in launched if name in OURS] == OURS
    sharp = max(sharpness) > 10  # which multiplies a score's rounding
    assert_close(found, right, 3e-4 if sharp else 1e-5)


@on_kernels
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_kernels_give_the_gradient_of_either_term(weights, launched):
    right = Given().found(torch.float64, (1.3, 0.7), weights=weights)
    assert_close(Given().found(torch.float32, (1.3, 0.7), weights=weights), right, 1e-5)
    assert set(launched) >= set(OURS)


@on_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernels_take_half_precision_under_autocast(dtype, launched):
    given = Given(12, 4, 16, 40)
    for name in ("z", "keys", "queue"):
        setattr(given, name, getattr(given, name).to(dtype).double())  # the same numbers in both
    right = given.found(torch.float64)
    with torch.autocast(DEVICE, torch.bfloat16):
        found = given.found(dtype)
    assert set(launched) >= set(OURS)
    assert_close((*found[:2], right[2]), right, 1e-6)
    assert (found[2] - right[2]).norm() <= 1e-2 * right[2].norm()


@on_kernels
def test_kernels_give_zero_at_collapse_and_pass_nan_on(launched):
    given = Given()
    for name in ("z", "keys", "queue"):
        setattr(given, name, torch.ones_like(getattr(given, name)) / 8**0.5)
    attraction, repulsion, gradient = given.found(torch.float32)
    assert max(attraction.abs(), repulsion.abs(), gradient.abs().max()) < 1e-6
    given.z[1, 1, 1] = torch.nan
    attraction, repulsion, gradient = given.found(torch.float32)
    assert attraction.isnan() and repulsion.isnan() and gradient[1, 1].isnan().all()
    assert set(launched) >= set(OURS)


@on_kernels
def test_kernels_are_few_and_little_stands_beside_them(launched):
    """PyTorch adds; a method's views come view by view, and need no copy."""
    given = Given(6, 3, 16, 40)
    z = drawn(3 * 6, 16).float().requires_grad_()
    views = unit_views(z.unflatten(0, (3, 6)).transpose(0, 1))
    keys, queue = unit_views(given.keys.float()).contiguous(), given.queue.float()
    launched.clear()
    with Launches() as forward:
        terms = terms_with_queue(views, keys, queue, *SHARPNESS, True)
        value = terms[0] + terms[1]
    one = torch.ones((), device=DEVICE)
    with Launches() as backward:
        torch.autograd.grad(value, z, one)
    assert launched == [*OURS, "unit_gradient_kernel"]
    assert beside(forward) == {"aten.sum": 1, "aten.add": 1}
    assert beside(backward) == {}


@on_kernels
def test_kernels_leave_what_they_do_not_serve(launched, monkeypatch):
    given = Given(6, 2, 5, 7)
    for sharpness in ((-1.0, 1.0), (1.0, -1.0)):
        with pytest.raises(LikewiseError):
            given.found(torch.float32, sharpness)
    Given(2, 2, cacr_queue.MOST_COLUMNS + 1, 3).found(torch.float32)
    monkeypatch.setattr(cacr_queue, "shard_of", lambda rows: "of several ranks")
    given.found(torch.float32)
    assert not set(launched) & set(OURS)


@on_kernels
def test_kernels_refuse_second_derivatives():
    given = Given(4, 2, 5, 7)
    z = given.z.float().requires_grad_()
    with pytest.raises(NotTwiceDifferentiable):
        torch.autograd.grad(sum(given.terms(z)), z, create_graph=True)


@pytest.mark.parametrize("kept", ["keys", "queue"])
def test_neither_teacher_nor_queue_takes_a_gradient(kept):
    given = Given(4, 2, 5, 7)
    leaf = getattr(given, kept).float().requires_grad_()
    setattr(given, kept, leaf)
    z = given.z.float().requires_grad_()
    assert torch.autograd.grad(sum(given.terms(z)), [z, leaf], allow_unused=True)[1] is None


@pytest.mark.skipif(INTERPRETED, reason="a compiler cannot look into the interpreter")
def test_a_compiler_takes_them_whole_and_by_pytorchs_operations(monkeypatch):
    given = Given(4, 3, 8, 12)
    right = given.terms(given.z.float())
    monkeypatch.setattr(kernels_first, "interpreted", lambda: True)
    monkeypatch.setattr(
        cacr_queue, "serves", lambda *given: pytest.fail("a kernel would have been launched")
    )
    found = torch.compile(given.terms, fullgraph=True, backend="eager")(given.z.float())
    torch.testing.assert_close(found, right)


COMPILING = """
from likewise.losses.fused import cacr_queue
cacr_queue.kernels = compiled
for through_weights in (True, False):
    for width, dtype in ((128, torch.float32), (768, torch.bfloat16)):
        z = torch.ones(5, 64, width, requires_grad=True)
        queue = torch.ones(4096, width, dtype=dtype)
        sum(cacr_queue.terms(z, z.detach(), queue, 1.0, 2.0, through_weights)).backward()
"""


@needs_triton
@pytest.mark.slow
def test_the_compiler_takes_all_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 12
