"""The classes of a support in few launches, compared with the same in float64 by PyTorch's operations."""

import pytest
import torch
import torch.nn.functional as F

from likewise import losses
from likewise.gpu_kernels import kernels
from likewise.losses.fused import kernels_first, support_classes
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

OURS = ["firsts_kernel", "membership_kernel"]


@pytest.fixture
def launched(monkeypatch):
    """Names of the kernels that were launched; several blocks and tiles of the support."""
    names = []
    monkeypatch.setattr(support_classes, "kernels", lambda file: Counted(kernels(file), names))
    monkeypatch.setattr(support_classes, "TILE", {"ROWS": 4, "COLUMNS": 8})
    return names


def unit_rows(count, seed, width=8):
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, width, generator=generator, dtype=torch.float64)
    return F.normalize(drawn, dim=1).to(DEVICE)


def labels_of(count, classes, step=7):
    """Class numbers with gaps, in no order; the least is not 0."""
    generator = torch.Generator().manual_seed(3)
    return (3 + step * torch.randint(classes, (count,), generator=generator)).to(DEVICE)


def found(dtype, labels, classes=None, smoothing=0.1):
    """Probabilities, and the gradients of queries and support."""
    leaves = [unit_rows(count, seed) for seed, count in enumerate((5, len(labels)))]
    leaves = [leaf.to(dtype).requires_grad_() for leaf in leaves]
    guess = losses.soft_neighbours(*leaves, labels, 0.2, smoothing, classes)
    gradients = torch.autograd.grad(guess[:, 0].square().sum(), leaves)
    return guess.detach().double(), *(each.double() for each in gradients)


@on_kernels
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize(
    ("count", "in_support", "classes"),
    [(1, 1, 1), (21, 5, 5), (37, 12, 15), (16, 16, 40)],
    ids=["least", "odd", "fewer than C", "more than rows"],
)
def test_kernels_give_probabilities_and_gradients(count, in_support, classes, smoothing, launched):
    labels = labels_of(count, in_support)
    right = found(torch.float64, labels, classes, smoothing)
    assert not launched  # float64 goes another way
    ours = found(torch.float32, labels, classes, smoothing)
    assert launched == OURS
    for one, other in zip(ours, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@on_kernels
def test_kernels_give_as_many_columns_as_rows_where_nobody_says_how_many(launched):
    labels = labels_of(21, 4)
    counted = found(torch.float32, labels, classes=4)
    uncounted = found(torch.float32, labels)
    assert launched == OURS * 2
    assert uncounted[0].shape == (5, 21) and (uncounted[0][:, 4:] == 0).all()
    for one, other in zip((uncounted[0][:, :4], *uncounted[1:]), counted, strict=True):
        torch.testing.assert_close(one, other)


@on_kernels
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_kernels_take_labels_of_any_format_and_step(dtype, launched):
    labels = labels_of(14, 5)
    right = found(torch.float32, labels, classes=5)
    apart = labels.to(dtype).repeat_interleave(2)[::2]
    assert torch.equal(found(torch.float32, apart, classes=5)[0], right[0])
    assert launched == OURS * 2


@pytest.mark.skipif(not INTERPRETED, reason="a GPU that has raised does no more work")
@pytest.mark.parametrize(("wrong", "classes"), [(-1, 9), (-2, 9), (5, 1)])
def test_kernels_raise_for_labels_that_do_not_fit(wrong, classes, launched):
    labels = torch.zeros(11, dtype=torch.int64)
    labels[9] = wrong
    with pytest.raises(RuntimeError, match=f"classes={classes}"):
        found(torch.float32, labels, classes)
    assert launched == OURS


@on_kernels
def test_kernels_are_two_and_little_stands_beside_them(launched):
    """PyTorch checks, multiplies, divides and takes the softmax."""
    queries, support = unit_rows(5, 0).float(), unit_rows(21, 1).float()
    with Launches() as forward:
        losses.soft_neighbours(queries, support, labels_of(21, 4), classes=4)
    assert launched == OURS
    others = {"aten.mm": 2, "aten.div": 1, "aten._softmax": 1, "aten._assert_async": 1}
    drawing = {"aten.randint": 1, "aten.mul": 1, "aten.add": 1}
    assert beside(forward) == others | drawing


@on_kernels
def test_kernels_leave_what_they_do_not_serve(launched, monkeypatch):
    monkeypatch.setenv("LIKEWISE_NATIVE", "0")
    found(torch.float32, labels_of(9, 3))
    assert not launched


@pytest.mark.skipif(INTERPRETED, reason="a compiler cannot look into the interpreter")
def test_a_compiler_takes_it_whole_and_by_pytorchs_operations(monkeypatch):
    labels = labels_of(9, 3)

    def guess(queries, support):
        return losses.soft_neighbours(queries, support, labels)

    rows = unit_rows(5, 0).float(), unit_rows(9, 1).float()
    right = guess(*rows)
    monkeypatch.setattr(kernels_first, "interpreted", lambda: True)
    monkeypatch.setattr(
        support_classes, "run_on", lambda device: pytest.fail("a kernel would have been launched")
    )
    traced = torch.compile(guess, fullgraph=True, backend="eager")(*rows)
    torch.testing.assert_close(traced[:, : right.shape[1]], right)
    assert (traced[:, right.shape[1] :] == 0).all()


COMPILING = """
from likewise.losses.fused import support_classes
support_classes.kernels = compiled
support_classes.run_on = lambda device: True
support_classes.refuse_wrong_labels = lambda *given: None
for dtype in (torch.int64, torch.int32):
    support_classes.membership(torch.zeros(160, dtype=dtype), 0.1, 10, torch.float32)
"""


@needs_triton
@pytest.mark.slow
def test_the_compiler_takes_all_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 4
