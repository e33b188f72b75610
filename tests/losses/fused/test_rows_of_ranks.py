"""Two processes that divide a batch among GPU kernels, here through Triton's interpreter, have the loss of one."""

import os
import sys

import pytest
import torch
import torch.multiprocessing as multiprocessing

from likewise import losses
from likewise.collectives import sharded_rows
from likewise.gpu_kernels import kernels
from likewise.losses.fused import (
    against_keys,
    gpu_sizes,
    row_passes,
    unit_rows,
    within_batch,
)
from losses.kernels import Counted, needs_triton
from ranks import free_port, wait_for_ranks

pytestmark = [
    pytest.mark.slow,
    needs_triton,
    pytest.mark.skipif(
        sys.platform == "win32", reason="gloo over loopback is not set up on Windows"
    ),
]

ROWS = 19
"""odd, so that one process computes a row more"""


def rows(count=ROWS):
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


LABELS = torch.tensor([0, 1, -1, 2, 1, 0, -1, 2, 2, 0, 1, 1, 3, 3, 0, 2, -1, 1, 0])
LOSSES = {
    "nt_xent": lambda z: losses.nt_xent(*z[:18].chunk(2), 0.3),
    "out": lambda z: losses.sup_con(z, LABELS, 0.3),
    "out of views": lambda z: losses.sup_con(
        z[:18].unflatten(0, (9, 2)), LABELS[:9], 0.3, "out", "all"
    ),
    "in": lambda z: losses.sup_con(z, LABELS, 0.3, "in"),
    "nca": lambda z: losses.suncet(z, LABELS.clamp(min=0), 0.3),
}

WHOLE = {
    "info_nce": lambda z: losses.info_nce(z[:10], z[10:], LABELS[:10], LABELS[10:], 3.0, kind="in"),
    "mil_nce": lambda z: losses.mil_nce(z[:6], z[6:18].unflatten(0, (6, 2)), 3.0),
}
"""Small enough for every rank to make all of it."""


def value_and_gradient(name, z):
    z = z.clone().requires_grad_()
    value = (LOSSES | WHOLE)[name](z)
    return value.detach(), torch.autograd.grad(1.7 * value, z)[0]


def one_of_two(at, port, kept_rows, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=at, world_size=2)
    launched = []
    gpu_sizes.KEPT_ROWS = kept_rows
    for module in (within_batch, row_passes, unit_rows, against_keys):
        module.kernels = lambda file: Counted(kernels(file), launched)
    with sharded_rows():
        found = {name: value_and_gradient(name, rows().float()) for name in LOSSES | WHOLE}
    results[at] = found, launched.count("rows_kernel")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module", params=[{}, {12: ROWS}], ids=["made again", "kept"])
def two_processes(request):
    with (
        pytest.MonkeyPatch.context() as patch,
        multiprocessing.get_context("spawn").Manager() as manager,
    ):
        # Read when Triton is imported, by the processes alone.
        patch.setitem(os.environ, "TRITON_INTERPRET", "1")
        results = manager.dict()
        arguments = free_port(), request.param, results
        wait_for_ranks(multiprocessing.spawn(one_of_two, arguments, nprocs=2, join=False))
        return dict(results)


@pytest.mark.parametrize("name", LOSSES | WHOLE)
def test_each_rank_has_the_value_and_the_mean_over_ranks_is_the_gradient(name, two_processes):
    value, gradient = value_and_gradient(name, rows())
    found = [two_processes[at][0][name] for at in (0, 1)]
    for of_rank, _ in found:
        torch.testing.assert_close(of_rank.double(), value, rtol=1e-5, atol=1e-6)
    mean = (found[0][1] + found[1][1]) / 2
    torch.testing.assert_close(mean.double(), gradient, rtol=1e-4, atol=1e-6)
    if name in LOSSES:
        zeros = [int((of_rank == 0).all(dim=1).sum()) for _, of_rank in found]
        assert sum(zeros) >= ROWS - 1  # each has the gradient of its own rows alone
    of_bags = 1
    launches = len(LOSSES) + len(WHOLE) + of_bags
    assert [launched for _, launched in two_processes.values()] == [launches] * 2
