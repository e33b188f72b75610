"""Two gloo processes take the same steps as one, for every registered method: weights, queues and statistics."""

import sys

import pytest
import torch
import torch.multiprocessing as multiprocessing

from likewise.collectives import BatchNormOverRanks, gather, rank, synchronise_batch_norm, world_size
from likewise.data.loader import Loader
from likewise.encoders import Encoder
from likewise.losses import tiles_kept, tiles_torch
from likewise.methods import Progress
from methods.test_contract import ALL, CLASSES, beside, images, method, nets_of, take_step

STEPS = 3
TILED = ("simclr", "supcon", "suncet", "moco-v2", "isd")
"""Methods that are trained once more by the path that large batches take."""


def trained(name, at=0, of=1):
    """Weights and buffers after a few float64 steps on this rank's share of the batches."""
    rule = method(name)
    nets = synchronise_batch_norm(nets_of(rule)).double()
    batches = Loader(images(rule=rule), torch.arange(32) % CLASSES, 8, 5, rule.support, 0, at, of, beside(rule))
    for module in nets.modules():
        if isinstance(module, Encoder):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].double(),))
    for number, batch in enumerate(batches.batches(0, STEPS)):
        where = Progress(number, STEPS, 2, at, of)
        step = take_step(rule, nets, batch, where, 0.1, average_over_ranks if of > 1 else lambda gradient: None)
    return step.loss.detach(), {key: value.clone() for key, value in nets.state_dict().items()}


def average_over_ranks(gradient):
    """What DistributedDataParallel does."""
    torch.distributed.all_reduce(gradient)
    gradient /= 2


def one_of_two(at, port, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=at, world_size=2)
    assert (rank(), world_size()) == (at, 2)
    for name in ALL:
        loss, state = trained(name, at, 2)
        if at == 0:
            results[name] = (loss, state)
    tiles_kept.MOST_PAIRS, tiles_torch.TILE = 0, 8  # in this process alone
    for name in TILED:
        loss, state = trained(name, at, 2)
        if at == 0:
            results[f"{name} in tiles"] = (loss, state)
    rows = torch.arange(4.0).view(2, 2).add(10 * at).requires_grad_()
    everyone = gather(rows)
    (everyone * torch.arange(8.0).view(4, 2)).sum().backward()
    results[f"gather {at}"] = (everyone.detach(), rows.grad)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes():
    return results_of_two(one_of_two)


def results_of_two(process):
    """What two processes put into a dictionary that they share; each is called with its rank, a port and that."""
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(process, (free_port(), results), nprocs=2)
        return dict(results)


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over loopback is not set up on Windows")
@pytest.mark.parametrize("name", [*ALL, *(f"{name} in tiles" for name in TILED)])
def test_two_processes_equal_one(name, two_processes):
    loss, state = trained(name.split()[0])
    other_loss, other_state = two_processes[name]
    assert other_loss.item() == pytest.approx(loss.item(), rel=1e-9)
    for key, value in state.items():
        torch.testing.assert_close(other_state[key], value, rtol=1e-7, atol=1e-9, msg=lambda m, key=key: f"{key}: {m}")


def test_gather_stacks_in_rank_order_and_returns_each_gradient(two_processes):
    for at in (0, 1):
        everyone, gradient = two_processes[f"gather {at}"]
        assert everyone.tolist() == [[0, 1], [2, 3], [10, 11], [12, 13]]
        # Each rank sends the whole weight back; two of them make twice, which the mean over ranks undoes.
        assert gradient.tolist() == (2 * torch.arange(8.0).view(4, 2)[2 * at : 2 * at + 2]).tolist()


def test_on_one_process_batch_norm_over_ranks_is_batch_norm():
    torch.manual_seed(0)
    ours, theirs = BatchNormOverRanks(3), torch.nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
