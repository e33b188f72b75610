"""Networks with an optimiser of their own learn before the main step; a method without any trains as ever."""

import dataclasses
import json
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from likewise.methods import Method, Nets, Progress, Recipe, Step
from likewise.methods.card import Card
from likewise.methods.manual_optimization import AdamWModule, Objective
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.training import Interrupted, LoopSettings, train
from likewise.training.checkpoint import write_torch
from likewise.training.health import TrainingDiverged
from likewise.training.manual_backward import ManualBackward
from likewise.training.memory_layout import channels_last
from likewise.training.optimizers import build_optimizer
from methods.fixtures import loader, method, nets_of
from training.test_cached_gradients import WHERE, assert_same, batch_of, networks
from training.test_resume import StopAfter

STEPS = 4
OWN = Recipe("adamw", 0.01, momentum=0.5, weight_decay=0.0, warm_up=0.0)


@dataclass(frozen=True)
class Duel(Method):
    """A guess, which should be as large as the encoder's mean feature, and the encoder, which flees it."""

    card = Card("Duel", "none", "no labels", "Two.", recipe=Recipe("sgd", 0.1, warm_up=0.0))

    def build(self, encoder, classes):
        guess = nn.Linear(1, 1, bias=False).requires_grad_(False)
        return Nets(encoder=encoder, guess=guess, guess_optimizer=AdamWModule(guess, OWN))

    def before_step(self, nets, batch, progress, backward):
        step = backward(Objective(nets.guess, self.embed, self.guess_loss), batch, progress)
        rate = OWN.rate_at(progress.step, progress.steps, progress.steps_per_epoch, batch.size)
        nets.guess_optimizer.step(nets.guess, rate)
        return {"guess": step}

    def embed(self, nets, batch, progress):
        return {"features": nets.encoder(batch.pixels.images.float() / 255)}

    def guess_loss(self, nets, rows, progress):
        gap = (rows["features"].mean() - nets.guess.weight.sum()).square()
        return Step(gap, {"guess_before": nets.guess.weight.detach().sum()})

    def compute_loss(self, nets, rows, progress):
        gap = (rows["features"].mean() - nets.guess.weight.sum()).square()
        return Step(-gap, {"guess_after": nets.guess.weight.detach().sum()})


def trained(rule, nets, folder=None, observe=None, steps=STEPS, fabric=None):
    plan = LoopSettings(steps, seed=4, log_every=1, eval_every=1)
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    where = None
    if folder is not None:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        where = RunFolder(folder)
    return train(
        fabric, rule, nets, loader(rule), rule.card.recipe, plan, where, observe or (lambda _: {})
    )


def lines(folder):
    kept = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in kept if "loss" in line]


def test_a_method_without_own_updates_trains_to_the_bits_of_a_plain_loop():
    """Forward, backward and the optimiser's step, with nothing in between."""
    rule = method("simclr")
    ours, plain = nets_of(rule), nets_of(rule)
    trained(rule, ours)
    channels_last(plain.train())
    optimizer = build_optimizer(rule.card.recipe, plain, 8)
    for number, batch in enumerate(loader(rule).batches(0, STEPS)):
        seed_networks(4, number, 0, "dropout")
        for group in optimizer.param_groups:
            group["lr"] = rule.card.recipe.rate_at(number, STEPS, 4, 8)
        where = Progress(number, STEPS, 4)
        step = rule.step(plain, batch, where)
        optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        optimizer.step()
        rule.after_update(plain, step, where)
    expected = plain.state_dict()
    assert [
        key for key, value in ours.state_dict().items() if not torch.equal(value, expected[key])
    ] == []


def test_what_a_checkpoint_holds(tmp_path):
    rule = method("simclr")
    trained(rule, nets_of(rule), tmp_path)
    stored = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert set(stored) == {
        "learner",
        "optimizer",
        "step",
        "images",
        "seconds",
        "stopped_early",
        "format",
    }
    assert all(key.startswith("nets.") for key in stored["learner"])


def by_hand(nets, steps):
    """The duel, written out: the guess moves first, and the encoder sees where it went."""
    rule = Duel()
    channels_last(nets.train())
    guessing = torch.optim.AdamW(
        nets.guess.parameters(), lr=0.01, betas=(0.5, 0.999), weight_decay=0.0
    )
    fleeing = build_optimizer(rule.card.recipe, nets.encoder, 8)
    nets.guess.requires_grad_(True)
    scale = (8 / 256) ** 0.5, 8 / 256
    for number, batch in enumerate(loader(rule).batches(0, steps)):
        share = OWN.rate_at(number, steps, 4, 256) / OWN.learning_rate
        for optimizer, rate, sign in (
            (guessing, 0.01 * scale[0], 1),
            (fleeing, 0.1 * scale[1], -1),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            mean = nets.encoder(batch.pixels.images.float() / 255).mean()
            optimizer.zero_grad()
            (sign * (mean - nets.guess.weight.sum()).square()).backward()
            optimizer.step()
    return nets.state_dict()


def test_each_network_learns_by_its_own_optimiser_and_in_order():
    ours, expected = nets_of(Duel()), by_hand(nets_of(Duel()), STEPS)
    trained(Duel(), ours)
    for key, value in ours.state_dict().items():
        if not key.startswith("guess_optimizer"):
            torch.testing.assert_close(
                value, expected[key], rtol=1e-6, atol=1e-7, msg=lambda m, key=key: f"{key}: {m}"
            )


def test_while_one_network_learns_the_others_take_no_gradient():
    nets = nets_of(Duel())
    seen = []

    @dataclass(frozen=True)
    class Watched(Duel):
        def note(self, loss):
            trainable = {
                name.partition(".")[0] for name, p in nets.named_parameters() if p.requires_grad
            }
            seen.append((loss, trainable))

        def guess_loss(self, nets, rows, progress):
            self.note("guess")
            assert not rows["features"].requires_grad
            return super().guess_loss(nets, rows, progress)

        def compute_loss(self, nets, rows, progress):
            self.note("main")
            assert rows["features"].requires_grad
            return super().compute_loss(nets, rows, progress)

    trained(Watched(), nets, steps=2)
    assert seen == 2 * [("guess", {"guess"}), ("main", {"encoder"})]


def test_an_own_loss_that_raises_leaves_the_others_trainable():
    nets = nets_of(Duel())

    @dataclass(frozen=True)
    class Broken(Duel):
        def guess_loss(self, nets, rows, progress):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trained(Broken(), nets)
    assert {name.partition(".")[0] for name, p in nets.named_parameters() if p.requires_grad} == {
        "encoder"
    }


def test_the_state_of_own_optimisers_is_resumed_and_needed(tmp_path):
    whole = nets_of(Duel())
    trained(Duel(), whole, tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(Duel(), nets_of(Duel()), tmp_path / "parts", StopAfter(2))
    path = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    stored = torch.load(path, weights_only=True)
    resumed = nets_of(Duel())
    trained(Duel(), resumed, tmp_path / "parts")
    assert [
        key
        for key, value in whole.state_dict().items()
        if not torch.equal(value, resumed.state_dict()[key])
    ] == []
    stored["learner"]["nets.guess_optimizer.exp_avg/weight"] += 1
    write_torch(path, stored)
    other = nets_of(Duel())
    trained(Duel(), other, tmp_path / "parts")
    assert not torch.equal(whole.guess.weight, other.guess.weight)


def test_the_log_holds_each_loss_and_metric(tmp_path):
    trained(Duel(), nets_of(Duel()), tmp_path)
    for line in lines(tmp_path):
        assert {"loss", "guess_loss", "guess_before", "guess_after"} <= set(line)
        assert line["guess_before"] != line["guess_after"]


def test_images_count_where_the_main_loss_is_taken():
    # Though the guess too looks at their features.
    assert trained(Duel(), nets_of(Duel())).images == STEPS * 8


def test_an_own_loss_that_diverges_ends_the_run():
    @dataclass(frozen=True)
    class Lost(Duel):
        def guess_loss(self, nets, rows, progress):
            step = super().guess_loss(nets, rows, progress)
            return step._replace(loss=step.loss * float("nan"))

    with pytest.raises(TrainingDiverged):
        trained(Lost(), nets_of(Lost()))


def test_a_frozen_weight_stays_frozen():
    nets = nets_of(Duel())
    nets.encoder.blocks[0][0].weight.requires_grad_(False)
    before = nets.encoder.blocks[0][0].weight.clone()
    trained(Duel(), nets)
    assert torch.equal(nets.encoder.blocks[0][0].weight, before)
    assert not nets.encoder.blocks[0][0].weight.requires_grad


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_adamw_in_buffers_is_adamw(weight_decay):
    torch.manual_seed(0)
    network, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.load_state_dict(network.state_dict())
    recipe = Recipe("adamw", 0.1, momentum=0.5, weight_decay=weight_decay)
    ours = AdamWModule(network, recipe)
    theirs = torch.optim.AdamW(
        other.parameters(), lr=0.1, betas=(0.5, 0.999), weight_decay=weight_decay, fused=True
    )
    for step in range(3):
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        network(x).square().sum().backward()
        other(x).square().sum().backward()
        ours.step(network, 0.1)
        theirs.step()
        theirs.zero_grad()
        assert network.weight.grad is None
    assert torch.equal(network.weight, other.weight) and torch.equal(network.bias, other.bias)


@pytest.mark.parametrize("pieces", [2, 3])
def test_the_gradient_of_an_own_loss_is_that_of_the_whole_batch(pieces):
    """UGAN's three adversaries: the same losses and gradients whether the batch is embedded at once or in parts."""
    rule, found = dataclasses.replace(method("ugan")), []
    batch, fabric = batch_of(rule), Fabric(accelerator="cpu", devices=1)
    for count in (1, pieces):
        nets = networks(rule, batch_norm=False)
        gradients = {}

        def backward(objective, batch, progress, nets=nets, count=count, gradients=gradients):
            step = ManualBackward(fabric, nets, count)(objective, batch, progress)
            for name, parameter in objective.network.named_parameters():
                gradients[f"{len(gradients)} {name}"] = parameter.grad.clone()
            return step

        steps = rule.before_step(nets, batch, WHERE, backward)
        assert list(steps) == ["discriminator", "good_generator", "bad_generator"]
        found.append({**gradients, **{name: step.loss for name, step in steps.items()}})
    assert_same(found[1], found[0])
