"""What is particular to a method, checked on its step."""

import dataclasses
import math

import pytest
import torch

from likewise.losses import cosine_regression, nt_xent, suncet
from likewise.methods import choose_method, find_method, with_view_size
from likewise.methods.isd import ISD
from likewise.methods.simclr import SimCLR
from likewise.views.policies import ViewPolicy, simclr_small
from methods.test_contract import loader, method, nets_of, progress


def test_suncet_is_simclr_plus_the_neighbour_loss_on_the_support_alone():
    rule = method("suncet")
    nets = nets_of(rule)
    batch = loader(rule).batch(0)
    rows = rule.embed(nets, batch, progress())
    expected = nt_xent(rows["first"], rows["second"], rule.temperature)
    expected = expected + suncet(rows["support"], batch.support.labels, rule.support_temperature)
    assert rule.contrast(nets, rows, progress()).loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert len(rows["support"]) == len(batch.support.labels) == 8


def test_suncet_without_support_is_simclr():
    rule = method("suncet")
    nets = nets_of(rule)
    batch = loader(rule).batch(0)._replace(support=None)
    rows = rule.embed(nets, batch, progress())
    step = rule.contrast(nets, rows, progress())
    assert step.loss.item() == pytest.approx(nt_xent(rows["first"], rows["second"], rule.temperature).item(), rel=1e-6)
    assert "supervised" not in step.metrics


def test_suncet_switches_off_and_loads_no_more_support():
    rule = dataclasses.replace(method("suncet"), supervised_until=0.5)
    ending = loader(rule).with_support(until_step=rule.support_steps(8))
    assert [batch.support is not None for batch in ending.batches(0, 8)] == [True] * 4 + [False] * 4


def test_the_logged_unsupervised_term_is_not_the_sum():
    rule = method("suncet")
    step = rule.step(nets_of(rule), loader(rule).batch(0), progress())
    total = step.metrics["unsupervised"] + step.metrics["supervised"]
    assert step.loss.item() == pytest.approx(total.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["cacr", "isd", "moco-v2"])
def test_keys_enter_the_queue_after_the_loss_and_the_teacher_follows(name):
    rule = method(name)
    nets = nets_of(rule)
    before = nets.queue.rows.clone()
    step = rule.step(nets, loader(rule).batch(0), progress())
    assert torch.equal(nets.queue.rows, before)
    teacher = [p.clone() for p in nets.teacher.parameters()]
    with torch.no_grad():
        for p in nets.encoder.parameters():
            p.add_(1.0)
    rule.after_update(nets, step, progress())
    changed = (nets.queue.rows != before).any(dim=1)
    assert changed.sum() == 8
    moved = [(new - old).abs().max().item() for new, old in zip(nets.teacher.parameters(), teacher, strict=True)]
    assert moved[0] == pytest.approx(0.01, rel=1e-3)  # 1 - momentum of 0.99, of a step of 1


def test_first_losses_are_what_chance_gives():
    """At random init: ISD with q = k and equal temperatures is 0; cross-entropy is ln C."""
    rule = method("cross-entropy")
    step = rule.step(nets_of(rule), loader(rule).batch(0), progress())
    assert step.loss.item() == pytest.approx(math.log(4), rel=1e-5)


def test_byol_sums_both_directions():
    rule = method("byol")
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(0), progress())
    one = cosine_regression(rows["guess_first"], rows["target_second"])
    other = cosine_regression(rows["guess_second"], rows["target_first"])
    assert rule.contrast(nets, rows, progress()).loss.item() == pytest.approx((one + other).item(), rel=1e-6)
    assert "predictor" not in dict(nets.teacher.named_modules())


def test_byol_teacher_stands_still_at_the_end():
    rule = method("byol")
    nets = nets_of(rule)
    step = rule.step(nets, loader(rule).batch(0), progress())
    with torch.no_grad():
        for p in nets.encoder.parameters():
            p.add_(1.0)
    before = [p.clone() for p in nets.teacher.parameters()]
    rule.after_update(nets, step, progress()._replace(step=9))
    assert all(torch.equal(p, b) for p, b in zip(nets.teacher.parameters(), before, strict=True))


def test_isd_presets_set_what_the_authors_scripts_set():
    plus, first = ISD(), ISD(preset="resnet18")
    assert [plus._or_preset(n) for n in ("student_temperature", "teacher_temperature", "momentum")] == [0.1, 0.01, 0.99]
    assert [first._or_preset(n) for n in ("student_temperature", "teacher_temperature", "momentum")] == [
        0.02,
        0.02,
        0.999,
    ]
    assert ISD(preset="resnet18", momentum=0.9)._or_preset("momentum") == 0.9
    small = with_view_size(dataclasses.replace(first, queue=16), 12)
    nets = nets_of(small)
    assert isinstance(nets.projector, torch.nn.Identity)
    assert nets.queue.rows.shape == (16, nets.encoder.width)
    assert torch.isfinite(small.step(nets, loader(small).batch(0), progress()).loss)


def test_small_images_get_the_small_policies_and_a_named_policy_stays():
    assert with_view_size(SimCLR(), 28).views == dataclasses.replace(simclr_small(), size=28)
    assert with_view_size(SimCLR(), 128).views.blur == 0.5
    mine = ViewPolicy(blur=1.0, size=20)
    assert with_view_size(SimCLR(views=mine), 28).views == mine


@pytest.mark.parametrize(
    ("labelled", "total", "fewest", "classes", "chosen"),
    [
        (0, 100, 0, 0, "simclr"),
        (100, 100, 40, 2, "supcon"),
        (95, 100, 40, 2, "supcon"),
        (20, 100, 10, 2, "suncet"),
        (20, 100, 1, 2, "simclr"),
        (20, 100, 20, 1, "simclr"),
    ],
)
def test_auto_chooses_by_the_labels_there_are_and_says_why(labelled, total, fewest, classes, chosen):
    name, reason = choose_method(labelled, total, fewest, classes)
    assert name == chosen
    assert reason
    assert find_method(name)
