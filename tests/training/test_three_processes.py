"""Three gloo processes take the same steps as one, for every method, also where one of them alone has a label."""

import dataclasses
import os

import pytest
import torch

from likewise.collectives import rank, world_size
from likewise.data.batch import UNLABELLED
from likewise.data.samplers import shuffled
from likewise.training import Callback
from methods.fixtures import ALL, CLASSES, method
from ranks import become_rank, needs_gloo, results_of_ranks
from training.test_cached_gradients import trained
from training.test_fully_sharded import labels_of_one_rank
from training.test_fully_sharded import trained as trained_fully_sharded

pytestmark = [pytest.mark.slow, needs_gloo]

IMAGES, BATCH, STEPS = 48, 9, 5
"""An epoch is five batches, and leaves three images out."""


def labels_on_one_rank():
    """In each step another rank has labels, and the others have none."""
    labels = torch.full((IMAGES,), UNLABELLED)
    for step in range(STEPS):
        of_ranks = shuffled(IMAGES, BATCH, 5, step).view(3, -1)
        labels[of_ranks[step % 3]] = torch.arange(step, step + BATCH // 3) % CLASSES
    return labels


LABELS = {"labels on all": torch.arange(IMAGES) % CLASSES, "on one": labels_on_one_rank()}


class Losses(Callback):
    """Stores the loss of each step."""

    def __init__(self):
        self.losses = []

    def on_step(self, state):
        self.losses.append(state.loss)


def end_of(name, labels, devices=1):
    """Losses, images counted, weights and buffers after some float64 steps."""
    seen, rule = Losses(), method(name)
    if hasattr(rule, "images_per_class"):  # a support batch is cut in three too
        rule = dataclasses.replace(rule, images_per_class=3)
    state, weights = trained(
        rule,
        None,
        steps=STEPS,
        devices=devices,
        callbacks=[seen],
        batch_size=BATCH,
        labels=LABELS[labels],
    )
    return seen.losses, state.images, weights


def one_of_three(at, port, results):
    """What each process does; the first one stores what it found."""
    become_rank(at, port)
    found = {(name, labels): end_of(name, labels, 3) for name in ALL for labels in LABELS}
    assert (rank(), world_size()) == (at, 3)
    if at == 0:
        results.update(found)
    torch.distributed.destroy_process_group()


FULLY_SHARDED = ("supcon", "suncet", "comatch", "cross-entropy")


def fully_sharded(name, devices=1):
    """Weights where each process has a third of them, and another process has labels in each step."""
    labels = labels_of_one_rank(BATCH, 3)
    return trained_fully_sharded(name, devices, batch_size=BATCH, labels=labels)[0]


def one_of_three_fully_sharded(at, port, results):
    """What each process does; the last one stores what it found."""
    become_rank(at, port)
    found = {name: fully_sharded(name, 3) for name in FULLY_SHARDED}
    if at == 2:
        results.update(found)
    torch.distributed.destroy_process_group()


def one_of_three_without_compiled_views(at, port, results):
    """The second process has no compiler."""
    if at == 1:
        os.environ["LIKEWISE_NATIVE"] = "0"
    become_rank(at, port)
    found = end_of("moco-v2", "labels on all", 3)
    if at == 0:
        results["moco-v2"] = found
    torch.distributed.destroy_process_group()


def test_a_process_without_compiled_views_makes_the_others_do_without(monkeypatch):
    """Their pixels differ in the seventh digit: in 5 steps the loss moved by 3e-7 and a weight by 3e-6 of itself."""
    losses, _, weights = results_of_ranks(one_of_three_without_compiled_views, 3)["moco-v2"]
    monkeypatch.setenv("LIKEWISE_NATIVE", "0")
    alone_losses, _, alone_weights = end_of("moco-v2", "labels on all")
    assert losses == pytest.approx(alone_losses, rel=1e-9)
    for key, value in alone_weights.items():
        torch.testing.assert_close(weights[key], value, rtol=1e-8, atol=1e-10)


@pytest.fixture(scope="module")
def three_processes():
    return results_of_ranks(one_of_three, 3)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("name", ALL)
def test_three_processes_equal_one(name, labels, three_processes):
    losses, images, weights = end_of(name, labels)
    other_losses, other_images, other_weights = three_processes[name, labels]
    assert other_losses == pytest.approx(losses, rel=1e-7)
    assert other_images == images
    assert other_weights.keys() == weights.keys()
    for key, value in weights.items():
        torch.testing.assert_close(
            other_weights[key], value, rtol=1e-6, atol=1e-8, msg=lambda m, key=key: f"{key}: {m}"
        )


@pytest.fixture(scope="module")
def three_fully_sharded():
    return results_of_ranks(one_of_three_fully_sharded, 3)


@pytest.mark.parametrize("name", FULLY_SHARDED)
def test_a_third_of_the_weights_each_equals_one_process(name, three_fully_sharded):
    found, wanted = three_fully_sharded[name], fully_sharded(name)
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(
            found[key], value, rtol=1e-9, atol=1e-10, msg=lambda m, key=key: f"{key}: {m}"
        )
