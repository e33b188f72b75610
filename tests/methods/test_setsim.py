"""SetSim's two halves: what its weight mixes, which map it reads, and where its gradient goes."""

import dataclasses

import pytest
import torch

from likewise.encoders import build_encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.encoders.locations import dense_map, dense_stage, flatten_locations
from likewise.errors import LikewiseError
from likewise.losses import queue_nce
from likewise.losses.matched_sets import Matcher
from methods.fixtures import loader, method, nets_of, progress

SETSIM = method("setsim")


def test_without_the_sets_it_is_moco():
    rule = dataclasses.replace(SETSIM, weight=0.0)
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(3), progress())
    expected = queue_nce(rows["query"], rows["key"], nets.queue.rows, 0.2)
    assert rule.compute_loss(nets, rows, progress()).loss.item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_the_sets_alone_teach_the_place_head_and_not_the_image_head():
    rule = dataclasses.replace(SETSIM, weight=1.0)
    nets = nets_of(rule)
    rule.step(nets, loader(rule).batch(3), progress()).loss.backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for p in nets.location_head.parameters()
    )
    assert all(p.grad is None or p.grad.abs().sum() == 0 for p in nets.head.parameters())


@pytest.mark.parametrize("stage", [1, 2, 3, 4, None])
def test_places_are_those_of_the_map_that_was_asked_for(stage):
    rule = dataclasses.replace(SETSIM, stage=stage, map_size=4)
    rows = rule.embed(nets_of(rule), loader(rule).batch(3), progress())
    side = {1: 4, 2: 3, 3: 2, 4: 1, None: 4}[stage]  # conv4 makes 6, 3, 2 and 1 of 12 pixels
    assert rows["locations"].shape == (8, side**2, 8)
    assert rows["pairs"].shape == (8, side**2, side**2)


def test_a_map_that_is_not_there_is_refused():
    with pytest.raises(LikewiseError, match="stage=5"):
        nets_of(dataclasses.replace(SETSIM, stage=5))


def test_both_queues_move():
    nets = nets_of(SETSIM)
    step = SETSIM.step(nets, loader(SETSIM).batch(3), progress())
    SETSIM.after_update(nets, step, progress())
    assert int(nets.queue.pushed) == int(nets.location_queue.pushed) == 8
    assert not torch.equal(nets.queue.rows[:8], nets.location_queue.rows[:8])


def test_the_pairs_that_are_drawn_are_those_that_are_learned_from():
    nets, batch = nets_of(SETSIM).eval(), loader(SETSIM).batch(3)
    drawn = SETSIM.match_views(nets, batch, progress())
    assert torch.equal(drawn.pairs, SETSIM.embed(nets, batch, progress())["pairs"].bool())


@pytest.mark.parametrize("preset", ["paper", "official", "densecl"])
def test_every_preset_learns(preset):
    rule = dataclasses.replace(SETSIM, matcher=Matcher(preset))
    step = rule.step(nets_of(rule), loader(rule).batch(3), progress())
    step.loss.backward()
    assert step.metrics["pairs"] > 0 and step.metrics["sets_loss"] > 0


@pytest.mark.parametrize(
    ("sides", "stage"),
    [((56, 28, 14, 7), 4), ((32, 16, 8, 4), 3), ((14, 7, 4, 2), 2), ((6, 3, 2, 1), 1), ((4,), 1)],
)
def test_the_deepest_map_of_seven_places_a_side_is_read(sides, stage):
    assert dense_stage(sides) == stage


@pytest.mark.parametrize(
    "name",
    ["conv4", "conv4-wide", "timm/resnet18", "timm/convnext_atto", "timm/vit_tiny_patch16_224"],
)
def test_maps_come_with_the_features_that_the_encoder_gives(name):
    encoder = build_encoder(EncoderSettings(name, 64, (0.5,) * 3, (0.3,) * 3)).eval()
    pixels = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        pooled, maps = encoder.forward_with_maps(pixels)
        torch.testing.assert_close(pooled, encoder(pixels))
        torch.testing.assert_close(maps[-1], encoder.feature_map(pixels))
    assert [(each.shape[1], each.shape[3]) for each in maps] == encoder.map_shapes(64)
    assert len(maps) == (1 if "vit" in name else len(encoder.stages()))


def test_places_go_row_by_row():
    features = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    assert torch.equal(flatten_locations(features)[1, 6], features[1, :, 1, 2])
    assert torch.equal(dense_map([features], max_side=2)[0, 0, 0, 0], features[0, 0, :2, :2].mean())
