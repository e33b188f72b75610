"""What is particular to the methods that assign: prototypes, queues of past images, small crops."""

import dataclasses

import pytest
import torch

from likewise.losses import (
    mean_entropy,
    probability_cross_entropy,
    sharpen,
    sinkhorn,
    soft_neighbours,
    suncet,
    swapped_prediction,
)
from likewise.methods import with_view_size
from likewise.methods.multi_crop import embed_views
from likewise.methods.swav import SwAV
from methods.fixtures import loader, method, nets_of, progress


def swav(**settings):
    return dataclasses.replace(method("swav"), **{"queue": 0, **settings})


def test_swav_is_the_swapped_prediction_of_balanced_codes():
    rule = swav(small_crops=2)
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    assert list(rows) == ["first", "second", "small 0", "small 1"]
    scores = [z @ nets.prototypes.weight.T for z in rows.values()]
    expected = swapped_prediction(scores, [sinkhorn(s.detach()) for s in scores[:2]], 0.1)
    assert rule.compute_loss(nets, rows, progress()).loss.item() == pytest.approx(
        expected.item(), rel=1e-6
    )


def test_small_crops_are_half_as_wide_and_get_a_gradient():
    rule = swav(small_crops=1)
    nets = nets_of(rule)
    views = rule.make_views(loader(rule).batch(0), progress())
    assert [tuple(view.shape[2:]) for view in views.values()] == [(12, 12), (12, 12), (6, 6)]
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    (gradient,) = torch.autograd.grad(
        rule.compute_loss(nets, rows, progress()).loss, rows["small 0"]
    )
    assert bool((gradient.abs().sum(dim=1) > 0).all())


def test_crop_policies_follow_the_size_of_the_images():
    small, large = with_view_size(SwAV(), 28), with_view_size(SwAV(), 224)
    assert (small.views.size, small.views.blur, small.views.crop_area) == (28, 0, (0.14, 1.0))
    assert (small.small_views.size, small.small_views.crop_area) == (14, (0.3, 0.75))
    assert (large.small_views.size, large.small_views.crop_area, large.views.blur) == (
        112,
        (0.05, 0.14),
        0.5,
    )


def test_views_of_one_size_share_the_encoder_and_all_share_the_head():
    calls = []
    encoder = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten())
    encoder.register_forward_hook(lambda _, inputs, __: calls.append(tuple(inputs[0].shape)))
    head = torch.nn.Identity()
    head.register_forward_hook(lambda _, inputs, __: calls.append(tuple(inputs[0].shape)))
    views = {
        "a": torch.rand(3, 1, 8, 8),
        "small": torch.rand(2, 1, 4, 4),
        "b": torch.rand(3, 1, 8, 8),
    }
    rows = embed_views(encoder, head, views)
    assert calls == [(6, 1, 8, 8), (2, 1, 4, 4), (8, 4)]
    assert list(rows) == list(views)
    for name, view in views.items():
        torch.testing.assert_close(rows[name], encoder(view))


def test_prototypes_stand_still_at_first_then_move_and_stay_on_the_sphere():
    rule = swav(frozen_until=0.3)
    nets = nets_of(rule)
    optimizer = torch.optim.SGD(nets.parameters(), lr=0.5, weight_decay=0.1)
    start, moved = nets.prototypes.weight.detach().clone(), []
    for number in range(5):
        step = rule.step(nets, loader(rule).batch(number), progress(number))
        optimizer.zero_grad()
        step.loss.backward()
        optimizer.step()
        rule.after_update(nets, step, progress(number))
        torch.testing.assert_close(nets.prototypes.weight.norm(dim=1), torch.ones(rule.prototypes))
        moved.append((nets.prototypes.weight - start).abs().max().item() > 1e-5)
    # Step 3 of 10 is the first at a third of the run or later.
    assert moved == [False, False, False, True, True]


def test_the_queue_is_coded_with_the_batch_as_far_as_it_is_filled():
    rule = swav(queue=20)
    nets = nets_of(rule)
    before = nets.queue.rows.clone()
    batch = loader(rule).batch(0)
    rows = rule.embed(nets, batch, progress())
    loss = {step: rule.compute_loss(nets, rows, progress(step)).loss.item() for step in (0, 1, 3)}
    assert torch.equal(nets.queue.rows, before)
    scores = [rows[name].detach() @ nets.prototypes.weight.T for name in ("first", "second")]
    for step, held in ((0, 0), (1, 8), (3, 20)):
        past = [
            before[:held, :8] @ nets.prototypes.weight.T,
            before[:held, 8:] @ nets.prototypes.weight.T,
        ]
        codes = [sinkhorn(torch.cat(both))[:8] for both in zip(scores, past, strict=True)]
        assert loss[step] == pytest.approx(swapped_prediction(scores, codes, 0.1).item(), rel=1e-5)
    rule.after_update(nets, rule.compute_loss(nets, rows, progress()), progress())
    torch.testing.assert_close(
        nets.queue.rows[:8], torch.cat([rows["first"], rows["second"]], dim=1).detach()
    )


def test_swav_suncet_is_swav_plus_the_neighbour_loss_on_the_support_alone():
    rule = method("swav-suncet")
    nets = nets_of(rule)
    batch = loader(rule).batch(0)
    rows = dict(rule.embed(nets, batch, progress()))
    step = rule.compute_loss(nets, rows, progress())
    neighbours = suncet(rows["support"], batch.support.labels, rule.support_temperature)
    views = {name: rows[name] for name in ("first", "second")}
    alone = SwAV.compute_loss(rule, nets, views, progress()).loss
    assert step.loss.item() == pytest.approx((alone + neighbours).item(), rel=1e-6)
    assert step.metrics["supervised"].item() == pytest.approx(neighbours.item(), rel=1e-6)
    assert step.metrics["unsupervised"].item() == pytest.approx(alone.item(), rel=1e-6)
    without = rule.step(nets, batch._replace(support=None), progress())
    assert "supervised" not in without.metrics


def test_swav_suncet_ends_its_support():
    rule = dataclasses.replace(method("swav-suncet"), supervised_until=0.25)
    ending = loader(rule).with_support(until_step=round(rule.support.until * 8))
    assert [batch.support is not None for batch in ending.batches(0, 8)] == [True] * 2 + [False] * 6


@pytest.mark.parametrize("predictor", [False, True])
def test_paws_swaps_sharpened_guesses_and_small_crops_get_their_mean(predictor):
    rule = dataclasses.replace(method("paws"), small_crops=1, predictor=predictor)
    nets = nets_of(rule)
    batch = loader(rule).batch(0)
    rows = rule.embed(nets, batch, progress())
    assert sorted(rows) == sorted(
        [
            "first",
            "second",
            "small 0",
            "support",
            "first target",
            "second target",
            "support target",
            "labels",
        ]
    )
    assert [torch.equal(rows[name], rows[f"{name} target"]) for name in ("first", "support")] == [
        not predictor
    ] * 2
    labels = batch.support.labels
    predictions = {
        name: soft_neighbours(rows[name], rows["support"], labels)
        for name in ("first", "second", "small 0")
    }
    first, second = (
        sharpen(soft_neighbours(rows[f"{name} target"], rows["support target"], labels))
        for name in ("first", "second")
    )
    terms = [
        probability_cross_entropy(predictions["first"], second),
        probability_cross_entropy(predictions["second"], first),
        probability_cross_entropy(predictions["small 0"], (first + second) / 2),
    ]
    step = rule.compute_loss(nets, rows, progress())
    entropy = mean_entropy(sharpen(torch.cat(list(predictions.values()))))
    assert step.loss.item() == pytest.approx((sum(terms) / 3 - entropy).item(), rel=1e-5)
    assert step.metrics["entropy"].item() == pytest.approx(entropy.item(), rel=1e-5)


def test_paws_targets_take_no_gradient_and_the_support_does():
    rule = method("paws")
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    assert sorted(key for key, row in rows.items() if row.requires_grad) == [
        "first",
        "second",
        "support",
    ]
    (gradient,) = torch.autograd.grad(
        rule.compute_loss(nets, rows, progress()).loss, rows["support"]
    )
    assert bool((gradient.abs().sum(dim=1) > 0).all())
