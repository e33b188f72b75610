"""LoCo: which stage learns from which unit; unit by unit, one graph, and the paper's two runs a stage agree."""

import dataclasses

import pytest
import torch
from torch import nn

from likewise.encoders import build_encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.encoders.overlapping_stages import overlap
from likewise.errors import LikewiseError
from likewise.losses import nt_xent
from likewise.methods import with_view_size
from likewise.methods.loco import LoCo
from likewise.methods.method import two_views
from likewise.methods.simclr import SimCLR
from likewise.randomness import seed_networks
from methods.fixtures import CLASSES, loader, method, nets_of, progress
from training.saved_tensors import peak_bytes


def made(encoder="conv4", double=True):
    rule = method("loco")
    seed_networks(0)
    nets = rule.build(build_encoder(EncoderSettings(encoder, 12, (0.4,), (0.3,))), CLASSES)
    return rule, nets.double() if double else nets, loader(rule).batch(0)


def gradients_of(nets):
    return {name: p.grad for name, p in nets.named_parameters() if p.grad is not None}


def by_two_runs(rule, nets, batch):
    """The paper's way: each unit runs both of its stages, on a detached output of the stage before."""
    stages = list(nets.encoder.stages())
    maps = nets.encoder.normalise(torch.cat(two_views(rule.views, batch, progress())))
    losses = []
    for lower, upper, head in zip(stages, stages[1:], nets.heads, strict=False):
        maps = lower(maps.detach())
        first, second = head(upper(maps).mean(dim=(2, 3))).chunk(2)
        losses.append(nt_xent(first, second, rule.temperature))
    return sum(losses)


@pytest.mark.parametrize("encoder", ["conv4", "timm/resnet18"])
def test_unit_by_unit_one_graph_and_two_runs_of_each_stage_agree(encoder):
    found = []
    for way in ("step", "graph", "two runs"):
        rule, nets, batch = made(encoder)
        if way == "step":
            loss = rule.step(nets, batch, progress()).loss
        elif way == "graph":
            loss = rule.gather_and_compute_loss(
                nets, rule.embed(nets, batch, progress()), progress()
            ).loss
        else:
            loss = by_two_runs(rule, nets, batch)
        loss.backward()
        found.append((loss.detach(), gradients_of(nets)))
    expected_loss, expected = found.pop()
    assert expected.keys() == dict(nets.named_parameters()).keys()
    for loss, gradients in found:
        torch.testing.assert_close(loss, expected_loss, rtol=1e-12, atol=0)
        assert gradients.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(
                gradients[name], gradient, rtol=1e-9, atol=1e-12, msg=lambda s, n=name: f"{n}: {s}"
            )


@pytest.mark.parametrize("unit", [1, 2, 3])
def test_a_unit_trains_its_two_stages_and_its_head_alone(unit):
    rule, nets, batch = made()
    rows = rule.embed(nets, batch, progress())
    rule.compute_loss(nets, {"unit": rows[f"unit {unit}"]}, progress()).loss.backward()
    reached = {
        name.rpartition("blocks.")[2][0]
        for name in gradients_of(nets)
        if name.startswith("encoder")
    }
    assert reached == {str(unit - 1), str(unit)}
    assert {name.split(".")[1] for name in gradients_of(nets) if name.startswith("heads")} == {
        str(unit - 1)
    }
    assert all(gradient.abs().sum() > 0 for gradient in gradients_of(nets).values())


@pytest.mark.parametrize("way", ["step", "graph"])
def test_without_overlap_every_stage_learns_from_its_own_head_alone(way):
    """Greedy InfoMax: each stage, on a detached input, is SimCLR of its own."""
    rule, _, batch = made()
    rule = dataclasses.replace(rule, overlap=False)
    seed_networks(0)
    nets = rule.build(build_encoder(EncoderSettings("conv4", 12, (0.4,), (0.3,))), CLASSES).double()
    together = (
        rule.gather_and_compute_loss(nets, rule.embed(nets, batch, progress()), progress())
        if way == "graph"
        else None
    )
    loss = (together or rule.step(nets, batch, progress())).loss
    loss.backward()
    found = gradients_of(nets)
    nets.zero_grad()
    maps = nets.encoder.normalise(torch.cat(two_views(rule.views, batch, progress())))
    expected = torch.zeros((), dtype=torch.float64)
    for stage, head in zip(nets.encoder.stages(), nets.heads, strict=True):
        maps = stage(maps.detach())
        expected = expected + nt_xent(*head(maps.mean(dim=(2, 3))).chunk(2), rule.temperature)
    expected.backward()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert found.keys() == dict(nets.named_parameters()).keys()
    for name, gradient in gradients_of(nets).items():
        torch.testing.assert_close(
            found[name], gradient, rtol=1e-9, atol=1e-12, msg=lambda s, n=name: f"{n}: {s}"
        )


def test_running_statistics_move_once_a_step():
    rule, nets, batch = made()
    rule.step(nets, batch, progress())
    counts = [
        buffer.item()
        for name, buffer in nets.named_buffers()
        if name.endswith("num_batches_tracked")
    ]
    assert counts == [1] * 7  # of four stages and three heads


def test_the_step_tells_every_units_loss():
    rule, nets, batch = made()
    step = rule.step(nets, batch, progress())
    assert sum(step.metrics[f"unit {u}"] for u in (1, 2, 3)).item() == pytest.approx(
        step.loss.item(), rel=1e-9
    )
    graph = rule.gather_and_compute_loss(nets, rule.embed(nets, batch, progress()), progress())
    assert graph.metrics.keys() == step.metrics.keys()
    assert graph.metrics["feature_std"].item() == pytest.approx(
        step.metrics["feature_std"].item(), rel=1e-9
    )


def test_less_waits_for_its_backward_than_end_to_end():
    """A stage and its neighbour instead of all: for eight equal stages, a quarter and the heads."""
    peaks = {}
    for kind in (SimCLR, LoCo):
        rule = with_view_size(dataclasses.replace(kind(), hidden=16, dim=8), 12)
        nets = nets_of(rule)
        for index, block in enumerate(nets.encoder.blocks):
            block[0] = nn.Conv2d(1 if index == 0 else 16, 16, 3, padding=1)
            block[1] = nn.BatchNorm2d(16)
        more = [
            nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
            for _ in range(4)
        ]
        nets.encoder.blocks.extend(more)
        nets.encoder.width = 16
        nets, batch = (
            rule.build(nets.encoder, CLASSES),
            loader(rule, count=64, batch_size=64).batch(0),
        )
        peaks[kind] = peak_bytes(
            lambda rule=rule, nets=nets, batch=batch: rule.step(
                nets, batch, progress()
            ).loss.backward(),
            nets,
        )
    assert peaks[LoCo] < 0.35 * peaks[SimCLR]


def test_an_encoder_of_one_stage_is_refused():
    rule, nets, _ = made()
    del nets.encoder.blocks[1:]
    with pytest.raises(LikewiseError, match="--encoder"):
        rule.build(nets.encoder, CLASSES)


def test_a_stage_cannot_be_differentiated_once_its_graph_is_freed():
    stage, maps = nn.Linear(3, 3), torch.randn(2, 3, requires_grad=True)
    through, here = overlap(stage, maps)
    here.sum().backward(retain_graph=True)
    assert maps.grad is None
    with pytest.raises(RuntimeError, match="differentiated"):
        through.sum().backward()


def test_the_two_outputs_send_their_gradients_where_they_should():
    stage, maps = nn.Linear(3, 3), torch.randn(2, 3, requires_grad=True)
    through, here = overlap(stage, maps)
    assert torch.equal(through, here)
    (2 * through.sum() + 5 * here.sum()).backward()
    torch.testing.assert_close(stage.bias.grad, torch.full((3,), 14.0))
    torch.testing.assert_close(maps.grad, 2 * stage.weight.sum(dim=0).expand(2, 3))


def test_without_gradient_nothing_is_kept():
    with torch.no_grad():
        through, here = overlap(nn.Linear(3, 3), torch.randn(2, 3))
    assert through.grad_fn is None
    assert here.grad_fn is None
