"""Two gloo processes take the same steps as one, for every registered method: weights, queues and statistics."""

import pytest
import timm
import torch

from likewise.collectives import alone, any_over_ranks, gather, min_over_ranks, rank, world_size
from likewise.losses.log_sums import cached_tile, cpu_tiles
from likewise.training import Callback
from likewise.training.batch_norm.over_ranks import BatchNormOverRanks, synchronise_batch_norm
from methods.fixtures import ALL
from ranks import become_rank, needs_gloo, results_of_ranks
from training import test_activation_checkpointing as checkpointing
from training.test_cached_gradients import KEPT, KINDS, trained

STEPS = 2
TILED = ("simclr", "supcon", "suncet", "moco-v2", "isd")
"""Methods that are trained once more by the path that large batches take."""
CACHED = ("prototypes", *KEPT)
"""Kinds of step that are made by microbatches too; the other kinds are by `make test-all` alone."""
CACHED_TOO = tuple(kind for kind in KINDS if kind not in CACHED)
pytestmark = pytest.mark.long


class LastLoss(Callback):
    """Stores the loss of the last step."""

    def on_step(self, state):
        self.loss = state.loss


def end_of(name, microbatch=None, devices=1):
    """The last loss, images counted, and weights and buffers after a few float64 steps of the loop."""
    last = LastLoss()
    state, weights = trained(name, microbatch, steps=STEPS, devices=devices, callbacks=[last])
    return last.loss, state.images, weights


def one_of_two(at, port, results):
    """What each of two processes does; the first one stores what it found."""
    become_rank(at, port)
    found = {name: end_of(name, devices=2) for name in ALL}
    assert (rank(), world_size()) == (at, 2)
    found |= {f"{name}, cached": end_of(name, 2, devices=2) for name in CACHED}
    for network in checkpointing.NETWORKS:
        found[f"{network}, plain"] = checkpointing.trained("byol", network, False, devices=2)
        results[f"{network} {at}"] = checkpointing.trained("byol", network, True, devices=2)
    cached_tile.MOST_PAIRS, cpu_tiles.TILE = 0, 8  # in this process alone
    found |= {f"{name}, in tiles": end_of(name, devices=2) for name in TILED}
    if at == 0:
        results.update(found)
    results[f"gather {at}"] = gathered(at)
    results[f"any {at}"] = [
        any_over_ranks(flag, torch.device("cpu")) for flag in (False, at == 1, True)
    ]
    results[f"min {at}"] = min_over_ranks(5 - at, torch.device("cpu"))
    with alone():
        rows = torch.ones(2, 1)
        results[f"alone {at}"] = world_size() == 1 and gather(rows) is rows
    results[f"normalised {at}"] = BatchNormOverRanks(torch.nn.BatchNorm1d(3))(
        far_from_zero()[8 * at : 8 * at + 8]
    ).detach()
    torch.distributed.destroy_process_group()


def one_of_two_by_microbatches(at, port, results):
    """The kinds of step that are left."""
    become_rank(at, port)
    found = {f"{name}, cached": end_of(name, 2, devices=2) for name in CACHED_TOO}
    if at == 0:
        results.update(found)
    torch.distributed.destroy_process_group()


def far_from_zero():
    """Float32 [16, 3] whose mean is a thousand times their spread."""
    return torch.randn(16, 3, generator=torch.Generator().manual_seed(0)) + 1000


def gathered(at):
    rows = torch.arange(4.0).view(2, 2).add(10 * at).requires_grad_()
    everything = gather(rows)
    (everything * torch.arange(8.0).view(4, 2)).sum().backward()
    return everything.detach(), rows.grad


@pytest.fixture(scope="module")
def two_processes():
    return results_of_ranks(one_of_two, 2)


@needs_gloo
@pytest.mark.parametrize(
    "name",
    [*ALL, *(f"{name}, cached" for name in CACHED), *(f"{name}, in tiles" for name in TILED)],
)
def test_two_processes_equal_one(name, two_processes):
    assert_equal_one(name, two_processes)


@needs_gloo
@pytest.mark.slow
def test_so_do_the_other_kinds_of_step_by_microbatches():
    found = results_of_ranks(one_of_two_by_microbatches, 2)
    for name in CACHED_TOO:
        assert_equal_one(f"{name}, cached", found)


def assert_equal_one(name, two_processes):
    """Through data parallelism; with microbatches of half the size, for the same rows make up a microbatch."""
    method_name, _, how = name.partition(", ")
    loss, images, weights = end_of(method_name, 4 if how == "cached" else None)
    other_loss, other_images, other_weights = two_processes[name]
    assert other_loss == pytest.approx(loss, rel=1e-9)
    assert other_images == images
    assert other_weights.keys() == weights.keys()
    for key, value in weights.items():
        torch.testing.assert_close(
            other_weights[key], value, rtol=1e-7, atol=1e-9, msg=lambda m, key=key: f"{key}: {m}"
        )


@needs_gloo
@pytest.mark.parametrize("network", checkpointing.NETWORKS)
def test_activation_checkpointing_changes_no_bit(network, two_processes):
    for at in (0, 1):
        found = two_processes[f"{network} {at}"]
        assert checkpointing.differing(found, two_processes[f"{network}, plain"]) == []


def test_gather_stacks_in_rank_order_and_returns_each_gradient(two_processes):
    for at in (0, 1):
        everything, gradient = two_processes[f"gather {at}"]
        assert everything.tolist() == [[0, 1], [2, 3], [10, 11], [12, 13]]
        # Each rank sends the whole weight back; two of them make twice, which the mean over ranks undoes.
        assert gradient.tolist() == (2 * torch.arange(8.0).view(4, 2)[2 * at : 2 * at + 2]).tolist()


def test_a_flag_on_any_rank_is_seen_by_all_and_one_that_is_alone_waits_for_none(two_processes):
    for at in (0, 1):
        assert two_processes[f"any {at}"] == [False, True, True]
        assert two_processes[f"min {at}"] == 4
        assert two_processes[f"alone {at}"]


def test_batch_norm_over_ranks_is_exact_where_the_mean_is_large(two_processes):
    ours = torch.cat([two_processes["normalised 0"], two_processes["normalised 1"]])
    torch.testing.assert_close(ours, torch.nn.BatchNorm1d(3)(far_from_zero()), rtol=0, atol=1e-3)


def test_on_one_process_batch_norm_over_ranks_is_batch_norm():
    torch.manual_seed(0)
    ours, theirs = BatchNormOverRanks(torch.nn.BatchNorm2d(3)), torch.nn.BatchNorm2d(3)
    x = torch.randn(4, 3, 5, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)


def test_batch_norm_over_ranks_keeps_the_activation_inside_it():
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    pixels = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        before = network(pixels)
        torch.testing.assert_close(synchronise_batch_norm(network)(pixels), before)
