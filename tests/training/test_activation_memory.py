"""What the first screen says of memory is what is truly kept, and measuring it leaves no trace."""

import dataclasses

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from likewise.runs.networks import build_nets
from likewise.runs.prepare import prepare
from likewise.runs.settings import TrainSettings
from likewise.training import activation_memory
from likewise.training.activation_memory import Trial, memory_line, saved_bytes
from likewise.training.cached_gradients import count_microbatches
from methods.test_contract import ALL, images, loader, method, nets_of, progress


def fabric_of(precision="32-true"):
    return Fabric(accelerator="cpu", devices=1, precision=precision)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("name", ALL)
def test_a_few_rows_tell_what_a_whole_batch_keeps(name, precision):
    rule, fabric = method(name), fabric_of(precision)
    source = loader(rule, count=128, batch_size=128)
    nets, batch = nets_of(rule), source.batch(0)
    with fabric.autocast():
        kept, _ = saved_bytes(lambda: rule.embed(nets, batch, progress()), nets)
    told = Trial(fabric, rule, nets, source.images, source.modalities).activations()
    assert told.of(128, 8 if batch.support else 0) == pytest.approx(kept, rel=0.02)
    assert told.image > 0
    assert (told.support_row > 0) == (batch.support is not None)


def test_saved_bytes_are_those_that_one_can_count():
    layer = nn.Linear(10, 20)
    x = torch.randn(5, 10, requires_grad=True)  # so that the weights are kept too, for its gradient
    forward = lambda: layer(x).relu()  # noqa: E731
    assert saved_bytes(forward, layer)[0] == 4 * (5 * 10 + 5 * 20)  # the input, and what relu gave; no weights
    with torch.no_grad():
        assert saved_bytes(forward, layer)[0] == 0
    assert saved_bytes(lambda: (layer(x), layer(x)), layer)[0] == 4 * 5 * 10  # one input, though it is kept twice


@pytest.mark.parametrize(("name", "share"), [("cross-entropy", 1 / 3), ("simclr", 1 / 3), ("byol", 1 / 2)])
def test_the_price_is_the_share_of_a_forward(name, share):
    """A backward is two forwards; a teacher adds a forward that has no backward."""
    rule = method(name)
    assert Trial(fabric_of(), rule, nets_of(rule), images()).forward_share() == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("name", ["byol", "suncet"])
def test_measuring_leaves_no_trace(name):
    rule = method(name)
    nets = nets_of(rule)
    nets.head = nn.Dropout(0.5) if name == "byol" else nn.Sequential(nn.Dropout(0.5), nets.head)
    before, drawn = {key: value.clone() for key, value in nets.state_dict().items()}, torch.get_rng_state()
    trial = Trial(fabric_of(), rule, nets.eval(), images())
    trial.activations()
    trial.forward_share()
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [key for key, value in nets.state_dict().items() if not torch.equal(value, before[key])] == []
    assert all(p.grad is None for p in nets.parameters())
    assert not nets.training


def prepared_with(**settings):
    pictures = np.random.default_rng(0).integers(0, 256, (160, 12, 12), dtype=np.uint8)
    given = TrainSettings(batch_size=64, **settings)
    prepared = prepare((pictures, np.arange(160) % 2), given, "simclr")
    return prepared, build_nets(prepared)


def line_of(prepared, nets):
    pieces = count_microbatches(prepared.settings.microbatch, prepared.batch_size, nets)
    return memory_line(fabric_of(), prepared.method, nets, prepared.loader(), pieces)


def test_the_line_tells_memory_price_and_what_batch_norm_sees():
    prepared, nets = prepared_with(microbatch=8)
    told = Trial(fabric_of(), prepared.method, nets, prepared.train.images).activations()
    line = line_of(prepared, nets)
    assert f"about {told.of(8) / 1e6:.1f} MB of activations at a time instead of {told.of(64) / 1e6:.1f} MB" in line
    assert "for about 29% more time; batch normalisation sees 8 images at a time, not 64" in line
    assert "normalisation" not in line_of(*without_batch_norm(prepared, nets))


def without_batch_norm(prepared, nets):
    nets.encoder.blocks = nn.ModuleList([nn.Sequential(block[0], block[2]) for block in nets.encoder.blocks])
    nets.head[1] = nn.Identity()
    return prepared, nets


def test_a_batch_that_is_too_large_is_told_what_fits(monkeypatch):
    prepared, nets = prepared_with()
    assert line_of(prepared, nets) == ""
    told = Trial(fabric_of(), prepared.method, nets, prepared.train.images).activations()
    monkeypatch.setattr(
        activation_memory, "_memory", lambda device: told.of(64) - 1
    )  # a machine that small is not here
    line = line_of(prepared, nets)
    assert "more than the" in line
    assert "--microbatch 16 needs" in line  # 32 would need a little more than half of it
    again = dataclasses.replace(prepared, settings=dataclasses.replace(prepared.settings, microbatch=16))
    assert "microbatches of 16" in line_of(again, nets)
