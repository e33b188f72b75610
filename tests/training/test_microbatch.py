"""Microbatches are as asked for, or what fits is found without leaving a trace."""

import contextlib
import re
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

import likewise as lw
from likewise.errors import LikewiseError
from likewise.json_files import read_json
from likewise.methods.simclr import SimCLR
from likewise.training import LoopSettings, microbatch, train
from likewise.training.microbatch import (
    choose_microbatch,
    count_microbatches,
    first_step_fits,
    halved,
    microbatch_line,
    microbatch_sizes,
)
from methods.fixtures import images, loader, method, nets_of
from training.saved_tensors import saved_bytes

CPU = Fabric(accelerator="cpu", devices=1)


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        (5, 4),  # does not divide 12
        (24, 12),  # more than there are
        (1, 2),  # batch normalisation needs 2
        (0, 2),
        (-4, 2),
    ],
)
def test_a_microbatch_that_does_not_fit_is_refused(size, nearest):
    with pytest.raises(LikewiseError) as refused:
        count_microbatches(size, 12, nn.BatchNorm1d(3))
    assert f"--microbatch {size} " in str(refused.value)
    assert "2, 3, 4, 6, 12" in str(refused.value)
    assert str(refused.value).endswith(f"--microbatch {nearest}.")


def test_the_one_microbatch_that_is_left_is_named_once():
    with pytest.raises(LikewiseError) as refused:
        count_microbatches(3, 2, nn.BatchNorm1d(3))
    assert str(refused.value).endswith("Choose --microbatch 2.")


def test_one_image_a_device_has_no_microbatch_that_fits():
    with pytest.raises(LikewiseError, match="Leave --microbatch out"):
        count_microbatches(1, 1, nn.BatchNorm1d(3))


def test_microbatches_that_fit():
    assert [count_microbatches(size, 12, nn.BatchNorm1d(3)) for size in (None, 2, 6, 12)] == [
        1,
        6,
        2,
        1,
    ]
    assert count_microbatches(1, 12, nn.Linear(3, 3)) == 12


def test_sizes_to_try_are_halved_each_time():
    assert microbatch_sizes(12, nn.BatchNorm1d(3)) == [2, 3, 4, 6, 12]
    assert halved([2, 3, 4, 6, 12]) == [12, 6, 3]
    assert halved([1, 7]) == [7, 1]


@dataclass(frozen=True)
class Hungry(SimCLR):
    """SimCLR on a device that holds a few images at a time."""

    holds: int = 4

    def embed(self, nets, batch, progress):
        if batch.size > self.holds:
            raise torch.cuda.OutOfMemoryError("not enough memory")
        return super().embed(nets, batch, progress)


class PretendedGPU:
    """A CPU's Fabric that says it is a GPU's."""

    def __init__(self):
        self.device = torch.device("cuda:0")

    def __getattr__(self, name):
        return getattr(CPU, name)


@pytest.mark.parametrize(("holds", "found"), [(8, 8), (7, 4), (4, 4), (3, 2)])
def test_auto_is_the_largest_half_whose_first_step_fits(holds, found, monkeypatch):
    rule = Hungry(hidden=16, dim=8, views=method("simclr").views, holds=holds)
    nets, tried = nets_of(rule), []

    def fits(fabric, method, nets, loader, steps, pieces):
        tried.append(8 // pieces)
        return first_step_fits(CPU, method, nets, loader, steps, pieces)

    monkeypatch.setattr(microbatch, "first_step_fits", fits)
    assert choose_microbatch("auto", PretendedGPU(), rule, nets, loader(rule), 4) == found
    assert tried == [size for size in (8, 4, 2) if size >= found]


def test_a_step_that_fits_in_no_way_is_refused(monkeypatch):
    rule = Hungry(hidden=16, dim=8, views=method("simclr").views)
    monkeypatch.setattr(microbatch, "first_step_fits", lambda *arguments: False)
    with pytest.raises(LikewiseError) as refused:
        choose_microbatch("auto", PretendedGPU(), rule, nets_of(rule), loader(rule), 4)
    assert "--microbatch auto" in str(refused.value) and "--batch-size" in str(refused.value)


@pytest.mark.parametrize(("name", "pieces"), [("byol", 1), ("suncet", 2), ("ugan", 2), ("ugan", 1)])
def test_trying_leaves_no_trace(name, pieces):
    """Neither in weights, statistics, queues and optimisers, nor in random generators."""
    rule = method(name)
    nets = nets_of(rule)
    nets.encoder.stages()[1].append(nn.Dropout(0.5))
    before = {key: value.clone() for key, value in nets.state_dict().items()}
    drawn = torch.get_rng_state()
    assert first_step_fits(CPU, rule, nets.eval(), loader(rule), 4, pieces)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [
        key for key, value in nets.state_dict().items() if not torch.equal(value, before[key])
    ] == []
    assert all(parameter.grad is None for parameter in nets.parameters())
    assert not nets.training


def test_on_a_cpu_auto_embeds_all_images_at_once_and_says_so():
    rule = method("simclr")
    nets = nets_of(rule)
    assert choose_microbatch("auto", CPU, rule, nets, loader(rule), 4) is None
    assert microbatch_line("auto", 1, 8, nets) and not microbatch_line(None, 1, 8, nets)


def test_the_line_holds_sizes_and_what_batch_normalisation_sees():
    line = microbatch_line(8, 8, 64, nn.BatchNorm1d(3))
    assert re.search(r"\b8\b.*\b8\b.*\b64\b", line)
    assert "normalisation" not in microbatch_line(8, 8, 64, nn.Linear(3, 3))


def test_a_step_that_runs_out_of_memory_names_the_remedy(monkeypatch):
    class Card:
        total_memory = 8e9

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Card)
    rule = Hungry(hidden=16, dim=8, views=method("simclr").views)
    with pytest.raises(LikewiseError) as refused:
        train(CPU, rule, nets_of(rule), loader(rule), rule.card.recipe, LoopSettings(2))
    assert "--microbatch auto" in str(refused.value)


def test_a_run_is_not_continued_with_other_microbatches_but_with_auto(tmp_path):
    settings = {
        "method": "simclr",
        "batch_size": 8,
        "device": "cpu",
        "num_evals": 1,
        "out": tmp_path / "run",
    }
    pictures = images(40).pixels.images[:, 0].numpy()
    data = pictures, torch.arange(40).numpy() % 2
    with contextlib.suppress(LikewiseError):
        lw.train(data, steps=2, microbatch=4, **settings)
    with pytest.raises(LikewiseError) as refused:
        lw.train(data, steps=2, microbatch=2, resume=True, **settings)
    assert "microbatches" in str(refused.value) and "--resume" in str(refused.value)
    lw.train(data, steps=2, microbatch="auto", resume=True, **settings)
    assert read_json(tmp_path / "run" / "config.json")["microbatches"] == 2


def test_saved_bytes_are_those_that_one_can_count():
    layer = nn.Linear(10, 20)
    # So that the weights are stored too, for its gradient.
    x = torch.randn(5, 10, requires_grad=True)
    forward = lambda: layer(x).relu()  # noqa: E731
    # The input, and what relu gave; no weights.
    assert saved_bytes(forward, layer)[0] == 4 * (5 * 10 + 5 * 20)
    with torch.no_grad():
        assert saved_bytes(forward, layer)[0] == 0
    # One input, though it is stored twice.
    assert saved_bytes(lambda: (layer(x), layer(x)), layer)[0] == 4 * 5 * 10
