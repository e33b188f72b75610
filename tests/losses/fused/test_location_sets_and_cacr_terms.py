"""The losses of sets of locations, and of attraction and repulsion, in few launches.

They are compared with the same in float64 by PyTorch's operations.
"""

import pytest
import torch
import torch.nn.functional as F

from likewise import losses
from likewise.gpu_kernels import kernels
from likewise.losses.attraction_repulsion import terms_of_views, unit_views
from likewise.losses.fused import (
    against_queue,
    cacr_terms,
    gpu_sizes,
    kernels_first,
    location_sets,
    row_targets,
    unit_rows,
)
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
    for module in (unit_rows, against_queue, location_sets, cacr_terms):
        monkeypatch.setattr(module, "kernels", lambda file: Counted(kernels(file), names))
    monkeypatch.setattr(against_queue, "_tiles", lambda width: Tiles(16, 16, splits=3))
    monkeypatch.setattr(cacr_terms, "TILE", {"ROWS": 16, "COLUMNS": 8})
    return names


def value_and_gradients(loss, leaves):
    leaves = [leaf.detach().requires_grad_() for leaf in leaves]
    value = loss(*leaves)
    found = torch.autograd.grad(value * 1.7, leaves)
    return value.detach().double(), [each.double() for each in found]


def close(found, right, tolerance):
    return all(
        (one - other).norm() <= tolerance * (other.norm() + 1e-2)
        for one, other in zip(found, right, strict=True)
    )


class Sets:
    """Locations and partners [B, U, D] and [B, V, D], which of them match, and a queue."""

    def __init__(self, images=3, rows=21, columns=18, width=24, keys=70):
        self.locations = F.normalize(drawn(images, rows, width), dim=2)
        self.partners = F.normalize(drawn(images, columns, width, seed=1), dim=2)
        self.queue = F.normalize(drawn(keys, width, seed=2), dim=1)
        self.matched = drawn(images, rows, columns, seed=3) > 1.5
        self.matched[-1] = False  # an image without any pair
        self.matched[0, 0] = True
        self.matched[0, 1:2] = False

    def value_and_gradients(self, dtype, temperature):
        """By the locations, and by the temperature."""
        given = self.partners.to(dtype), self.matched, self.queue.to(dtype)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        return value_and_gradients(
            lambda locations, t: losses.set_similarity(locations, *given, t),
            [self.locations.to(dtype), torch.tensor(temperature, dtype=wide, device=DEVICE)],
        )


@on_kernels
@pytest.mark.parametrize(
    "sizes",
    [(2, 1, 1, 5, 1), (3, 21, 18, 24, 70), (2, 16, 32, 128, 48), (2, 5, 17, 300, 20)],
    ids=["least", "odd", "round", "wide"],
)
@pytest.mark.parametrize("temperature", [0.2, 0.01])
def test_kernels_of_sets_give_value_and_gradients(sizes, temperature, launched):
    sets = Sets(*sizes)
    value, gradients = sets.value_and_gradients(torch.float64, temperature)
    assert not launched  # float64 goes another way
    found, found_gradients = sets.value_and_gradients(torch.float32, temperature)
    assert launched
    torch.testing.assert_close(found, value, rtol=2e-6, atol=2e-5)  # a score of 100 is off by 8e-6
    assert close(found_gradients, gradients, 1e-5)


@on_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernels_of_sets_take_half_precision_and_what_is_not_contiguous(dtype, launched):
    sets = Sets()
    for name in ("locations", "partners", "queue"):
        setattr(sets, name, getattr(sets, name).to(dtype).double())  # the same numbers in both
    sets.locations, sets.matched = (
        sets.locations.mT.contiguous().mT,
        sets.matched.mT.contiguous().mT,
    )
    value, gradients = sets.value_and_gradients(torch.float64, 0.125)
    found, found_gradients = sets.value_and_gradients(dtype, 0.125)
    assert launched
    torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-6)
    assert close(found_gradients, gradients, 1e-2)


@on_kernels
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32, torch.bfloat16])
def test_kernels_of_sets_take_pairs_of_any_format(dtype, launched):
    sets = Sets(2, 17, 5, 12, 20)
    right, _ = sets.value_and_gradients(torch.float32, 0.2)
    sets.matched = sets.matched.to(dtype) * 3
    found, _ = sets.value_and_gradients(torch.float32, 0.2)
    assert found == right


@on_kernels
def test_kernels_of_sets_give_zero_without_any_pair(launched):
    sets = Sets()
    sets.matched[:] = False
    found, gradients = sets.value_and_gradients(torch.float32, 0.2)
    assert launched and found == 0
    assert all((gradient == 0).all() for gradient in gradients)


@on_kernels
def test_kernels_of_sets_pass_nan_on(launched):
    sets = Sets()
    sets.locations[0, 0, 2] = torch.nan
    found, (gradient, _) = sets.value_and_gradients(torch.float32, 0.2)
    assert found.isnan() and gradient[0, 0].isnan().all()


@on_kernels
def test_kernels_of_sets_are_two_and_little_stands_beside_them(launched):
    """PyTorch sums up; backward, it multiplies."""
    sets = Sets()
    locations = sets.locations.float().requires_grad_()
    given = sets.partners.float(), sets.matched, sets.queue.float(), 0.2
    one = torch.ones((), device=DEVICE)
    with Launches() as forward:
        value = losses.set_similarity(locations, *given)
    with Launches() as backward:
        torch.autograd.grad(value, locations, one)
    assert launched == ["softmax_kernel", "sets_kernel"]
    assert [sum(beside(each).values()) for each in (forward, backward)] == [1, 1]


@on_kernels
def test_kernels_of_sets_leave_what_they_do_not_serve(launched, monkeypatch):
    sets = Sets()
    with pytest.raises(losses.LossInputError):
        losses.set_similarity(
            sets.locations.float(), sets.partners.float(), sets.matched, sets.queue.float(), -1.0
        )
    wide = Sets(1, 2, 2, location_sets.MOST_COLUMNS + 1, 3)
    wide.value_and_gradients(torch.float32, 0.2)
    monkeypatch.setenv("LIKEWISE_NATIVE", "0")
    sets.value_and_gradients(torch.float32, 0.2)
    assert not launched


@on_kernels
def test_kernels_of_sets_refuse_second_derivatives():
    sets = Sets()
    locations = sets.locations.float().requires_grad_()
    value = losses.set_similarity(
        locations, sets.partners.float(), sets.matched, sets.queue.float(), 0.2
    )
    with pytest.raises(NotTwiceDifferentiable):
        torch.autograd.grad(value, locations, create_graph=True)


CACR = {  # shape and sharpness
    "least": ((2, 2, 3), (1.0, 2.0)),
    "odd": ((37, 3, 24), (0.0, 0.9)),
    "round": ((16, 4, 16), (1.7, 0.0)),
    "sharp": ((20, 2, 16), (60.0, 200.0)),
    "many views": ((3, 9, 6), (1.0, 2.0)),
}
CACR_LATER = ("odd", "round", "many views")
"""Whose gradient around the weights is compared by `make test-all` alone."""


def cacr_with_gradient(z, sharpness, through_weights=True):
    return value_and_gradients(lambda z: losses.cacr(z, *sharpness, through_weights), [z])


@on_kernels
@pytest.mark.parametrize(
    ("case", "through_weights"),
    [
        *((case, True) for case in CACR),
        ("least", False),
        ("sharp", False),
        *(pytest.param(case, False, marks=pytest.mark.slow) for case in CACR_LATER),
    ],
)
def test_kernels_of_cacr_give_value_and_gradient(case, through_weights, launched):
    shape, sharpness = CACR[case]
    z = drawn(*shape)
    value, gradients = cacr_with_gradient(z, sharpness, through_weights)
    assert not launched  # float64 goes another way
    found, found_gradients = cacr_with_gradient(z.float(), sharpness, through_weights)
    assert "slopes_kernel" in launched
    tolerance = 1e-5 if max(sharpness) < 10 else 3e-4  # which multiplies a score's rounding
    torch.testing.assert_close(found, value, rtol=tolerance, atol=tolerance / 10)
    assert close(found_gradients, gradients, tolerance)


@on_kernels
def test_kernels_of_cacr_give_each_term_with_its_gradient(launched):
    """The gradients of either alone."""

    for which in (0, 1):  # attraction, repulsion

        def term(z, which=which):
            return terms_of_views(unit_views(z), 1.3, 0.7, True)[which]

        value, gradients = value_and_gradients(term, [drawn(9, 3, 8)])
        found, found_gradients = value_and_gradients(term, [drawn(9, 3, 8).float()])
        torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-6)
        assert close(found_gradients, gradients, 1e-5)
    assert launched


@on_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernels_of_cacr_take_half_precision_under_autocast(dtype, launched):
    z = drawn(9, 4, 16).to(dtype)
    value, gradients = cacr_with_gradient(z.double(), (1.0, 2.0))
    with torch.autocast(DEVICE, torch.bfloat16):
        found, found_gradients = cacr_with_gradient(z, (1.0, 2.0))
    assert "slopes_kernel" in launched
    torch.testing.assert_close(found, value, rtol=1e-6, atol=1e-6)
    assert close(found_gradients, gradients, 1e-2)


@on_kernels
def test_kernels_of_cacr_give_zero_at_collapse_and_pass_nan_on(launched):
    z = torch.ones(5, 3, 8, device=DEVICE)
    found, (gradient,) = cacr_with_gradient(z, (1.0, 2.0))
    assert found.abs() < 1e-6 and gradient.abs().max() < 1e-6
    z[1, 1, 1] = torch.nan
    found, (gradient,) = cacr_with_gradient(z, (1.0, 2.0))
    assert found.isnan() and gradient[1, 1].isnan().all()
    assert "slopes_kernel" in launched


@on_kernels
def test_kernels_of_cacr_are_few_and_little_stands_beside_them(launched):
    """PyTorch multiplies matrices and adds; a method's views come view by view, and need no copy."""
    z = drawn(3 * 6, 16).float().requires_grad_()
    views = unit_views(z.unflatten(0, (3, 6)).transpose(0, 1))
    with Launches() as forward:
        attraction, repulsion = terms_of_views(views, 1.0, 2.0, True)
        value = attraction + repulsion
    one = torch.ones((), device=DEVICE)
    with Launches() as backward:
        torch.autograd.grad(value, z, one)
    assert launched == [
        "unit_kernel", "anchors_kernel", "slopes_kernel", "unit_gradient_kernel"
    ]  # fmt: skip
    assert beside(forward) == {"aten.mm": 1, "aten.sum": 1, "aten.add": 1}
    assert beside(backward) == {"aten.mm": 1}


@on_kernels
def test_kernels_of_cacr_leave_what_they_do_not_serve(launched, monkeypatch):
    z = drawn(6, 2, 5).float()
    for sharpness in ((-1.0, 1.0), (1.0, -1.0)):
        with pytest.raises(losses.LossInputError):
            losses.cacr(z, *sharpness)
    with monkeypatch.context() as few:
        few.setattr(gpu_sizes, "CACR_ROWS", 11)
        losses.cacr(z)
    monkeypatch.setattr(cacr_terms, "shard_of", lambda rows: "of several ranks")
    losses.cacr(z)
    assert set(launched) == {"unit_kernel"}


@on_kernels
def test_kernels_of_cacr_refuse_second_derivatives():
    z = drawn(6, 2, 5).float().requires_grad_()
    with pytest.raises(NotTwiceDifferentiable):
        torch.autograd.grad(losses.cacr(z), z, create_graph=True)


@pytest.mark.skipif(INTERPRETED, reason="a compiler cannot look into the interpreter")
def test_a_compiler_takes_these_losses_whole_and_by_pytorchs_operations(monkeypatch):
    sets, targets = Sets(), drawn(21, 24).float().softmax(dim=1)
    given = sets.partners.float(), sets.matched, sets.queue.float(), 0.2

    def loss(rows):
        return (
            losses.cacr(rows[:, :2])
            + losses.set_similarity(rows, *given)
            + losses.knowledge_distillation(rows[0], targets, 4.0)
            + losses.soft_cross_entropy(rows[0], targets)
            + losses.cosine_regression(rows[0], targets)
        )

    right = loss(sets.locations.float())
    monkeypatch.setattr(kernels_first, "interpreted", lambda: True)
    asked = [(row_targets, "serves_logits"), (row_targets, "serves_vectors")]
    for module, name in [(cacr_terms, "serves"), (location_sets, "serves"), *asked]:
        monkeypatch.setattr(
            module, name, lambda *given: pytest.fail("a kernel would have been launched")
        )
    found = torch.compile(loss, fullgraph=True, backend="eager")(sets.locations.float())
    torch.testing.assert_close(found, right)


COMPILING = """
from likewise.losses.fused import cacr_terms, against_queue, location_sets
cacr_terms.kernels = compiled
for through_weights in (True, False):
    z = torch.ones(5, 64, 128, requires_grad=True)
    sum(cacr_terms.terms(z, 1.0, 2.0, through_weights)).backward()
against_queue.kernels = compiled
location_sets.kernels = compiled
for width, dtype in ((128, torch.bfloat16), (768, torch.float32)):
    z = torch.ones(4, 64, width, dtype=dtype, requires_grad=True)
    pairs = torch.ones(4, 64, 64, dtype=torch.bool)
    location_sets.set_similarity(z, z, pairs, torch.ones(4096, width), torch.tensor(0.2)).backward()
"""


@needs_triton
@pytest.mark.slow
def test_the_compiler_takes_all_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 8
