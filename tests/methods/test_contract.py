"""What every registered method must keep, whoever wrote it. A new line in METHODS is under all of this at once."""

import dataclasses
import json

import pytest
import torch

from likewise.memory import BatchHistory, Queue, queue_warnings
from likewise.methods import METHODS
from likewise.methods.distillation import DistillationMethod
from likewise.randomness import generator
from likewise.runs.settings import from_json, to_json
from methods.fixtures import ALL, CLASSES, loader, method, nets_of, progress, sliced, take_steps


def _has_setting(name, setting):
    return setting in {field.name for field in dataclasses.fields(METHODS[name])}


WITH_TEACHER = [
    name
    for name in ALL
    if _has_setting(name, "momentum")
    or (issubclass(METHODS[name], DistillationMethod) and METHODS[name].requires_teacher)
]
WITH_QUEUE = [name for name in ALL if _has_setting(name, "queue")]


@pytest.mark.parametrize("name", ALL)
def test_loss_is_a_finite_scalar_with_a_gradient_for_every_learned_part(name):
    rule = method(name)
    nets = nets_of(rule)
    step = rule.step(nets, loader(rule).batch(3), progress())
    assert step.loss.shape == ()
    assert torch.isfinite(step.loss)
    assert not [
        key for key, kept in {**step.metrics, **step.memory_updates}.items() if kept.requires_grad
    ]
    step.loss.backward()
    learned = {key: p for key, p in nets.named_parameters() if p.requires_grad}
    without = [key for key, p in learned.items() if p.grad is None or not p.grad.abs().sum() > 0]
    # A classifier that starts at zero passes no gradient on in its very first step; all else must learn at once.
    assert not [key for key in without if name != "cross-entropy"]
    assert learned


@pytest.mark.parametrize("name", WITH_TEACHER)
def test_teachers_take_no_gradient(name):
    rule = method(name)
    nets = nets_of(rule)
    rule.step(nets, loader(rule).batch(3), progress()).loss.backward()
    teacher = [p for key, p in nets.named_parameters() if key.startswith("teacher")]
    assert teacher
    assert all(p.grad is None and not p.requires_grad for p in teacher)


@pytest.mark.parametrize("name", WITH_QUEUE)
def test_queues_take_no_gradient_and_warn_where_they_exceed_the_training_set(name):
    rule = method(name)
    nets = nets_of(rule)
    rule.step(nets, loader(rule).batch(3), progress()).loss.backward()
    queues = [module for module in nets.modules() if isinstance(module, Queue)]
    assert {len(queue) for queue in queues if not isinstance(queue, BatchHistory)} == {16}
    assert all(
        buffer.grad is None and not buffer.requires_grad
        for queue in queues
        for buffer in queue.buffers()
    )
    assert queue_warnings(nets, 16) == []
    (warning,) = queue_warnings(nets, 12)
    assert "16" in warning and "--method.queue 3" in warning


@pytest.mark.parametrize("name", ALL)
def test_a_step_is_a_function_of_seed_and_step(name):
    rule = method(name)
    batch = loader(rule).batch(3)
    losses = [rule.step(nets_of(rule), batch, progress(step)).loss.item() for step in (3, 3, 4)]
    assert losses[0] == losses[1]
    if name != "cross-entropy":  # which starts at ln C whatever it sees
        assert losses[0] != losses[2]


@pytest.mark.parametrize("name", [n for n in ALL if METHODS[n].card.needs == "no labels"])
def test_methods_without_labels_never_look_at_them(name):
    """Training with every label hidden and with wrong labels gives the same weights, bit for bit."""
    rule = method(name)
    ends = []
    for labels in (torch.full((32,), -1), torch.arange(32) % 3):
        nets = nets_of(rule)
        take_steps(rule, nets, loader(rule, labels), 3)
        ends.append(torch.cat([p.detach().flatten() for p in nets.parameters()]))
    assert torch.equal(ends[0], ends[1])


@pytest.mark.parametrize("name", [n for n in ALL if METHODS[n].card.needs != "no labels"])
def test_hidden_labels_cannot_leak(name):
    """Labels that the budget hides are -1 in the batch; what they were must not matter, and what is shown must."""
    rule = method(name)
    shown = torch.where(torch.arange(32) < 16, torch.arange(32) % CLASSES, -1)
    batch = loader(rule, shown).batch(0)
    assert set(batch.labels.tolist()) <= {-1, 0, 1, 2, 3}
    other = torch.where(torch.arange(32) < 16, (torch.arange(32) // 4) % CLASSES, -1)
    ends = []
    for labels in (shown, other):
        nets = nets_of(rule)
        take_steps(rule, nets, loader(rule, labels), 3)
        ends.append(torch.cat([p.detach().flatten() for p in nets.parameters()]))
    assert not torch.equal(ends[0], ends[1])


@pytest.mark.parametrize("name", ALL)
def test_order_within_the_batch_does_not_matter(name):
    """The contrast half sees a set of rows: permuting them leaves the loss."""
    rule = method(name)
    nets = nets_of(rule)
    rows = dict(rule.embed(nets, loader(rule).batch(3), progress()))
    expected = rule.compute_loss(nets, rows, progress()).loss
    own = {
        key for key in rows if key.startswith("support") or (key == "labels" and "support" in rows)
    }
    order = torch.randperm(8, generator=generator(1))
    support_order = torch.randperm(8, generator=generator(2))
    shuffled = {key: row[support_order if key in own else order] for key, row in rows.items()}
    assert rule.compute_loss(nets, shuffled, progress()).loss.item() == pytest.approx(
        expected.item(), rel=1e-5
    )


@pytest.mark.parametrize("name", ALL)
def test_embed_works_on_each_example_alone(name):
    """In eval mode, where batch norm does not couple rows, half a batch gives half of the whole batch's rows."""
    rule = method(name)
    nets = nets_of(rule).eval()
    batch = loader(rule).batch(3)
    whole = rule.embed(nets, batch, progress())
    for rank, rows in enumerate((slice(0, 4), slice(4, 8))):
        half = sliced(batch, rows)
        part = rule.embed(nets, half, progress()._replace(rank=rank, world_size=2))
        for key, row in part.items():
            torch.testing.assert_close(row, whole[key][rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_bfloat16_is_close_to_float32(name):
    rule = method(name)
    batch = loader(rule).batch(3)
    exact = rule.step(nets_of(rule), batch, progress()).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = rule.step(nets_of(rule), batch, progress()).loss
    assert rounded.dtype == torch.float32
    # Networks round to 8 bits; losses themselves do not, so 3% covers temperatures down to 0.02. PAWS takes guesses at
    # temperature 0.1 to the power of 4 and then subtracts two terms of like size.
    assert rounded.item() == pytest.approx(
        exact.item(), rel=0.03, abs=0.06 if name == "paws" else 0.02
    )


@pytest.mark.parametrize("name", ALL)
def test_the_second_half_does_not_round_at_all(name):
    rule = method(name)
    nets = nets_of(rule)
    rows = rule.embed(nets, loader(rule).batch(3), progress())
    exact = rule.compute_loss(nets, rows, progress()).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rule.compute_loss(nets, rows, progress()).loss.item() == exact.item()


@pytest.mark.parametrize("name", ALL)
def test_settings_survive_json(name):
    rule = method(name)
    again = from_json(METHODS[name], json.loads(json.dumps(to_json(rule))))
    assert again == rule


@pytest.mark.parametrize("name", ALL)
def test_every_method_says_what_it_is(name):
    kind = METHODS[name]
    assert "http" in kind.card.paper
    assert kind.card.idea.endswith(".")
    assert kind.card.needs in ("no labels", "some labels", "all labels")
