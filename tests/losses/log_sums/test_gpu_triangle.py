"""Log-sums of rows with each other from half of their scores, against all of them in float64."""

import math

import pytest
import torch

from likewise import losses
from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.tiling import Tiles
from likewise.losses.log_sums import gpu_tiles, gpu_triangle
from losses.kernels import (
    DEVICE,
    compiled_for_a_gpu_that_is_not_here,
    needs_triton,
    on_kernels,
)
from losses.log_sums.test_gpu_tiles import dense, error, rows, whole_numbers


@pytest.fixture
def triangle(monkeypatch):
    """Few rows take the way of many; the list has their number for each call that did."""
    monkeypatch.setattr(gpu_sizes, "TRIANGLE_ROWS", (1, 10**6))
    calls = []
    forward = gpu_triangle.forward

    def noted(*arguments):
        calls.append(len(arguments[0]))
        return forward(*arguments)

    monkeypatch.setattr(gpu_triangle, "forward", noted)
    return calls


def log_sums(z, ids, tiles):
    return gpu_tiles.forward(z, z, gpu_tiles.ITSELF, ids, ids, tiles)


# One row, less than a block, a block, a rest within the last block's first tile or its last, and whole blocks.
@on_kernels
@pytest.mark.parametrize("count", [1, 33, 61, 96])
@pytest.mark.parametrize("tiles", [Tiles(32, 16), Tiles(16, 16, splits=3)])
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_kernels_of_the_triangle_are_the_formula(triangle, count, tiles, scale):
    z = rows(count, 20, 1, scale=scale)
    itself = torch.arange(count, device=DEVICE)
    for ids in (None, whole_numbers(0, 9, count, 7)):
        found = log_sums(z, ids, tiles)
        right = dense(z.double(), z.double(), itself, ids, ids)
        for ours, wanted in zip(found, right, strict=True):
            assert (ours is None) == (wanted is None)
            if ours is not None:
                assert ours.dtype == torch.float32
                assert error(ours, wanted) < 2e-6
    assert triangle == [count, count]


@on_kernels
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_kernels_of_the_triangle_in_half_precision_sum_in_float32(triangle, dtype):
    z, itself = rows(70, 64, 1, dtype, scale=4.0), torch.arange(70, device=DEVICE)
    found, _ = log_sums(z, None, Tiles(32, 16))
    right, _ = dense(z.double(), z.double(), itself, None, None)
    assert error(found, right) < 2e-6


@on_kernels
@pytest.mark.parametrize("scale", [3.0, 60.0])
def test_kernels_of_the_triangle_give_the_same_bits_twice(triangle, scale):
    z, ids = rows(107, 20, 1, scale=scale), whole_numbers(0, 9, 107, 7)
    once, again = (log_sums(z, ids, Tiles(32, 16, splits=2)) for _ in range(2))
    for left, right in zip(once, again, strict=True):
        assert torch.equal(left, right)


@on_kernels
@pytest.mark.parametrize("scale", [1.0, 60.0])
def test_kernels_of_the_triangle_find_nothing_for_a_row_without_positives(triangle, scale):
    z, alone = rows(40, 8, 1, scale=scale), torch.arange(40, device=DEVICE)
    _, positives = log_sums(z, alone, Tiles(16, 16))
    assert positives.tolist() == [-math.inf] * 40


@on_kernels
def test_kernels_of_the_triangle_pass_nan_on(triangle):
    z = rows(40, 8, 1)
    z[17, 2] = math.nan
    found, _ = log_sums(z, None, Tiles(16, 16))
    assert found.isnan().all()


@on_kernels
def test_kernels_of_the_triangle_have_tiles_of_their_own(triangle):
    z, itself = rows(150, 24, 1), torch.arange(150, device=DEVICE)
    found, _ = log_sums(z, None, None)
    assert error(found, dense(z.double(), z.double(), itself, None, None)[0]) < 2e-6


@on_kernels
def test_kernels_leave_other_squares_and_other_sizes_to_the_whole_matrix(triangle, monkeypatch):
    z, ids = rows(40, 8, 1), whole_numbers(0, 9, 40, 7)
    itself = torch.arange(40, device=DEVICE)
    gpu_tiles.forward(z, z, itself, None, None, Tiles(16, 16))
    gpu_tiles.forward(z, z.clone(), gpu_tiles.ITSELF, None, None, Tiles(16, 16))
    gpu_tiles.forward(z, z, gpu_tiles.ITSELF, ids, ids.clone(), Tiles(16, 16))
    for least_and_most in ((41, 100), (1, 39)):
        monkeypatch.setattr(gpu_sizes, "TRIANGLE_ROWS", least_and_most)
        log_sums(z, None, Tiles(16, 16))
    assert triangle == []


@on_kernels
@pytest.mark.parametrize("name", ["nt_xent", "sup_con", "suncet"])
def test_kernels_of_the_triangle_serve_the_losses(triangle, monkeypatch, name):
    """Sizes beyond those of `within_batch`; float64 takes no kernel."""
    monkeypatch.setattr(gpu_sizes, "BATCH_ROWS", 0)
    z, labels = rows(48, 16, 1, scale=2.0), torch.arange(48, device=DEVICE) % 7
    loss = {
        "nt_xent": lambda z: losses.nt_xent(z[:24], z[24:], 0.3),
        "sup_con": lambda z: losses.sup_con(z, labels, 0.3, kind="in"),
        "suncet": lambda z: losses.suncet(z, labels, 0.3),
    }[name]
    ours, exact = z.clone().requires_grad_(), z.double().requires_grad_()
    value, right = loss(ours), loss(exact)
    assert value.item() == pytest.approx(right.item(), rel=1e-5)
    (found,), (wanted,) = torch.autograd.grad(value, ours), torch.autograd.grad(right, exact)
    assert error(found, wanted) < 2e-5
    assert triangle == [48]


COMPILING = """
from likewise.losses.fused import gpu_sizes
from likewise.losses.log_sums import gpu_triangle, launch

launch.kernels = gpu_triangle.kernels = compiled
for dtype in (torch.bfloat16, torch.float32):
    z, ids = torch.ones(300, 128, dtype=dtype), torch.arange(300)
    gpu_triangle.forward(z, ids, torch.ones((), dtype=torch.int32))
"""


@pytest.mark.slow
@needs_triton
def test_the_compiler_takes_the_triangle_for_a_gpu_that_is_not_here():
    assert compiled_for_a_gpu_that_is_not_here(COMPILING) == 4
