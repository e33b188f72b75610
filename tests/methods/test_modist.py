"""MoDist's terms against a loop, which instants its views show, and what its weights switch off."""

import dataclasses
import math
import re

import pytest
import torch

from likewise.data.batch import Batch, Pixels
from likewise.encoders.clip_networks import clip_encoder
from likewise.encoders.motion import FrameByFrame, motion_network
from likewise.errors import LikewiseError
from likewise.methods import with_view_size
from likewise.methods.modist import MoDist
from likewise.methods.progress import Progress
from likewise.randomness import seed_networks
from likewise.views.motion.motion_views import MotionViews
from likewise.views.view_policy import ViewPolicy

SIDE, KEPT, FRAMES = 12, 10, 3
PLAIN = ViewPolicy(crop_area=(1.0, 1.0), crop_ratio=(1.0, 1.0), flip=0.0)
RULE = MoDist(
    queue=24, hidden=16, dim=8, motion_encoder="conv4-half", views=PLAIN, motion_views=PLAIN
)
WHERE = Progress(3, steps=10, seed=2)


def sized(**settings):
    return with_view_size(dataclasses.replace(RULE, **settings), SIDE, FRAMES)


def nets_of(rule):
    seed_networks(0)
    return rule.build(clip_encoder("r2plus1d-small", (0.4,), (0.3,)), 4)


def clips(count=6, flow=True):
    """Clips whose every pixel tells its frame's number, and flow whose arrows to the right do."""
    numbers = torch.arange(KEPT)
    pixels = (
        (numbers * 20)
        .to(torch.uint8)[None, :, None, None, None]
        .expand(count, -1, 1, SIDE, SIDE)
        .contiguous()
    )
    arrows = torch.zeros(count, KEPT - 1, 2, SIDE, SIDE, dtype=torch.int16)
    arrows[:, :, 0] = numbers[:-1, None, None].to(torch.int16) * 2
    images = Pixels(pixels, torch.ones(count))
    return Batch(
        images, torch.zeros(count), torch.arange(count), modalities={"flow": arrows} if flow else {}
    )


def unit_rows(count, seed):
    rows = torch.randn(count, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return rows / rows.norm(dim=1, keepdim=True)


def naive(queries, keys, queue, temperature):
    """InfoNCE with a queue, a query after the other."""
    total = torch.zeros((), dtype=torch.float64)
    for query, key in zip(queries, keys, strict=True):
        own = (query * key).sum() / temperature
        others = [(query * row).sum() / temperature for row in queue]
        total = total + torch.stack([own, *others]).exp().sum().log() - own
    return total / len(queries)


def test_the_four_terms_are_those_of_the_paper_with_negatives_of_the_key_s_kind():
    rule = sized(visual_weight=0.7, motion_weight=0.3, cross_weight=1.9, temperature=0.2)
    nets = nets_of(rule).double()
    rows = {
        name: unit_rows(5, seed)
        for seed, name in enumerate(("query", "key", "motion_query", "motion_key"))
    }
    ours, theirs = (
        {name: row.clone().requires_grad_() for name, row in rows.items()} for _ in range(2)
    )
    loss = rule.compute_loss(nets, ours, WHERE).loss
    visual, motion = nets.queue.rows, nets.motion_queue.rows
    expected = (
        0.7 * naive(theirs["query"], theirs["key"].detach(), visual, 0.2)
        + 0.3 * naive(theirs["motion_query"], theirs["motion_key"].detach(), motion, 0.2)
        + 1.9 * naive(theirs["query"], theirs["motion_key"].detach(), motion, 0.2)
        + 1.9 * naive(theirs["motion_query"], theirs["key"].detach(), visual, 0.2)
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    expected.backward()
    for name in ("query", "motion_query"):
        torch.testing.assert_close(ours[name].grad, theirs[name].grad, rtol=1e-4, atol=1e-6)


def test_what_finds_across_kinds_shows_the_same_instants_and_what_finds_within_does_not(
    monkeypatch,
):
    rule, batch = sized(motion="flow"), clips(count=32)
    nets = nets_of(rule)
    shown = {}
    for name, network in (("query", nets.encoder), ("key", nets.teacher.encoder)):
        network.register_forward_pre_hook(
            lambda _, given, name=name: shown.update({name: given[0]})
        )
    for name, network in (("motion_query", nets.motion), ("motion_key", nets.teacher.motion)):
        network.register_forward_pre_hook(
            lambda _, given, name=name: shown.update({name: given[0]})
        )
    rule.embed(nets, batch, WHERE)
    first = {name: (shown[name][:, 0, 0, 0, 0] * 255 / 20).round() for name in ("query", "key")}
    limit = 10 / 224 * SIDE * 64 / 2
    first |= {
        name: (shown[name][:, 0, 0, 0, 0] * limit).round()
        for name in ("motion_query", "motion_key")
    }
    assert torch.equal(first["query"], first["motion_key"])
    assert torch.equal(first["key"], first["motion_query"])
    assert (first["query"] != first["key"]).float().mean() > 0.5
    assert len(first["query"].unique()) > 4
    assert shown["motion_key"].shape == (32, FRAMES - 1, 2, SIDE, SIDE)


def test_after_a_step_the_keys_are_in_their_queues_and_the_teacher_has_followed_a_little():
    rule = sized(momentum=0.9)
    nets = nets_of(rule)
    step = rule.step(nets, clips(), WHERE)
    before = [p.clone() for p in nets.teacher.parameters()]
    with torch.no_grad():
        for p in (*nets.encoder.parameters(), *nets.head.parameters(), *nets.motion.parameters()):
            p.add_(1)
    rule.after_update(nets, step, WHERE)
    torch.testing.assert_close(nets.queue.rows[:6], step.memory_updates["queue"])
    torch.testing.assert_close(nets.motion_queue.rows[:6], step.memory_updates["motion_queue"])
    assert not torch.equal(nets.queue.rows[:6], nets.motion_queue.rows[:6])
    moved = 0.1 * (math.cos(math.pi * 3 / 9) + 1) / 2
    for was, now in zip(before, nets.teacher.parameters(), strict=True):
        torch.testing.assert_close(now, was + moved, rtol=1e-4, atol=1e-5)


def test_weights_of_nought_leave_moco_of_clips_without_flow_or_a_motion_network():
    alone, whole = sized(motion_weight=0.0, cross_weight=0.0), sized()
    nets = nets_of(alone)
    assert alone.modalities == () and not alone.column_transforms({})
    assert not hasattr(nets, "motion") and not hasattr(nets, "motion_queue")
    assert set(nets.teacher) == {"encoder", "head"}
    step = alone.step(nets, clips(flow=False), WHERE)
    assert step.metrics.keys() == {"visual_loss", "feature_std"}
    same = whole.step(nets_of(whole), clips(), WHERE)
    assert step.loss.item() != same.loss.item()
    assert set(step.memory_updates) == {"queue"}


@pytest.mark.parametrize("weights", [(-1, 1, 1), (0, 1, 0), (0, 0, 0)])
def test_weights_that_teach_the_encoder_nothing_are_refused(weights):
    names = "visual_weight", "motion_weight", "cross_weight"
    with pytest.raises(LikewiseError, match=rf"weights.*{re.escape(str(weights))}"):
        MoDist(**dict(zip(names, weights, strict=True)))


def test_flow_is_asked_for_only_where_it_is_seen():
    assert sized().modalities == sized(motion="flow").modalities == ("flow",)
    rule = sized(motion="frame-difference")
    assert rule.modalities == ()
    rule.step(nets_of(rule), clips(flow=False), WHERE).loss.backward()


def test_motion_teaches_the_visual_network_through_the_crossing_term_alone():
    rule = sized(visual_weight=0.0, motion_weight=0.0)
    nets = nets_of(rule)
    rule.step(nets, clips(), WHERE).loss.backward()
    for part in (nets.encoder, nets.head, nets.motion):
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in part.parameters())


def test_a_network_for_stills_sees_each_picture_by_itself_and_one_for_clips_sees_time():
    views = MotionViews("flow", dataclasses.replace(PLAIN, size=SIDE))
    pictures = torch.randn(3, 4, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    still, moving = (
        motion_network(name, views, 1).eval() for name in ("conv4-half", "r2plus1d-small")
    )
    assert isinstance(still, FrameByFrame)
    with torch.no_grad():
        alone = torch.stack([still.encoder(pictures[:, t]) for t in range(4)]).mean(dim=0)
        torch.testing.assert_close(still(pictures), alone)
        torch.testing.assert_close(still(pictures.flip(1)), still(pictures))
        assert not torch.allclose(moving(pictures.flip(1)), moving(pictures))
