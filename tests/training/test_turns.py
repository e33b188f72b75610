"""Players learn in turn, each alone and with an optimiser of its own; a method without players trains as ever."""

import json
from dataclasses import dataclass

import pytest
import torch
from lightning_fabric import Fabric
from torch import nn

from likewise.errors import LikewiseError
from likewise.losses import nt_xent
from likewise.methods import Method, Nets, Progress, Recipe, Step
from likewise.methods.player import Player
from likewise.methods.simclr import SimCLR
from likewise.randomness import seed_networks
from likewise.run_folder import RunFolder
from likewise.training import Interrupted, LoopSettings, train
from likewise.training.memory_layout import channels_last
from likewise.training.optimizers import build_optimizer, rate_at
from likewise.training.turns import step_of_all, turns_of
from methods.test_contract import loader, method, nets_of
from training.test_resume import StopAfter

STEPS = 4
OTHERS = Recipe("adamw", 0.01, momentum=0.5, weight_decay=0.0, warm_up=0.0)


@dataclass(frozen=True)
class Duel(Method):
    """A guesser, which should be as large as the encoder's mean feature, and the encoder, which flees it."""

    title, paper, needs, idea = "Duel", "none", "no labels", "Two."
    recipe = Recipe("sgd", 0.1, warm_up=0.0)

    @property
    def players(self):
        return Player("guesser", ("guess",), OTHERS), Player("one who flees", ("encoder",))

    def build(self, encoder, classes):
        return Nets(encoder=encoder, guess=nn.Linear(1, 1, bias=False))

    def embed(self, nets, batch, progress):
        return {"features": nets.encoder(batch.pixels.images.float() / 255)}

    def compute_loss(self, nets, rows, progress):
        gap = (rows["features"].mean() - nets.guess.weight.sum()).square()
        metrics = {f"seen by {progress.player}": nets.guess.weight.detach().sum()}
        return Step(gap if progress.player == "guesser" else -gap, metrics, {progress.player: gap.detach()[None]})


def trained(rule, nets, folder=None, observe=None, steps=STEPS, fabric=None):
    plan = LoopSettings(steps, seed=4, log_every=1, eval_every=1)
    fabric = fabric or Fabric(accelerator="cpu", devices=1)
    where = None
    if folder is not None:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        where = RunFolder(folder)
    return train(fabric, rule, nets, loader(rule), rule.recipe, plan, where, observe or (lambda _: {}))


def lines(folder):
    kept = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in kept if "loss" in line]


def test_one_player_trains_to_the_bits_of_a_plain_loop():
    """Forward, backward and the optimiser's step, with nothing in between."""
    rule = method("simclr")
    ours, plain = nets_of(rule), nets_of(rule)
    trained(rule, ours)
    channels_last(plain.train())
    optimizer = build_optimizer(rule.recipe, plain, 8)
    for number, batch in enumerate(loader(rule).batches(0, STEPS)):
        seed_networks(4, number, 0, "dropout")
        for group in optimizer.param_groups:
            group["lr"] = rate_at(rule.recipe, number, STEPS, 4, 8)
        where = Progress(number, STEPS, 4)
        step = rule.step(plain, batch, where)
        optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        optimizer.step()
        rule.after_update(plain, step, where)
    expected = plain.state_dict()
    assert [key for key, value in ours.state_dict().items() if not torch.equal(value, expected[key])] == []


def test_the_checkpoint_of_one_player_is_what_it_was(tmp_path):
    rule = method("simclr")
    trained(rule, nets_of(rule), tmp_path)
    stored = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert set(stored) == {"learner", "optimizer", "step", "images", "seconds", "format"}
    assert stored["format"] == 1
    assert all(key.startswith("nets.") for key in stored["learner"])


def by_hand(nets, steps):
    """The duel, written out: the guesser moves first, and the one who flees sees where it went."""
    rule = Duel()
    channels_last(nets.train())
    guesser = torch.optim.AdamW(nets.guess.parameters(), lr=0.01, betas=(0.5, 0.999), weight_decay=0.0)
    fleeing = build_optimizer(rule.recipe, nets.encoder, 8)
    scale = (8 / 256) ** 0.5, 8 / 256
    for number, batch in enumerate(loader(rule).batches(0, steps)):
        share = rate_at(OTHERS, number, steps, 4, 256) / OTHERS.learning_rate
        for optimizer, rate, sign in ((guesser, 0.01 * scale[0], 1), (fleeing, 0.1 * scale[1], -1)):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
            mean = nets.encoder(batch.pixels.images.float() / 255).mean()
            optimizer.zero_grad()
            (sign * (mean - nets.guess.weight.sum()).square()).backward()
            optimizer.step()
    return nets.state_dict()


def test_each_learns_in_its_turn_with_its_own_optimiser():
    ours, expected = nets_of(Duel()), by_hand(nets_of(Duel()), STEPS)
    trained(Duel(), ours)
    for key, value in ours.state_dict().items():
        torch.testing.assert_close(
            value, expected[key], rtol=1e-6, atol=1e-7, msg=lambda said, key=key: f"{key}: {said}"
        )


def test_while_one_learns_the_others_take_no_gradient():
    nets = nets_of(Duel())
    seen = []

    @dataclass(frozen=True)
    class Watched(Duel):
        def compute_loss(self, nets, rows, progress):
            learning = {name.partition(".")[0] for name, p in nets.named_parameters() if p.requires_grad}
            seen.append((progress.player, learning, rows["features"].requires_grad))
            return super().compute_loss(nets, rows, progress)

    trained(Watched(), nets, steps=2)
    assert seen == 2 * [("guesser", {"guess"}, False), ("one who flees", {"encoder"}, True)]
    assert all(p.requires_grad for p in nets.parameters())  # as before the first turn


def test_all_take_gradients_again_after_an_interruption(tmp_path):
    nets = nets_of(Duel())
    with pytest.raises(Interrupted):
        trained(Duel(), nets, tmp_path, StopAfter(1))
    assert all(p.requires_grad for p in nets.parameters())


def test_all_optimisers_lie_in_the_checkpoint_and_are_needed(tmp_path):
    whole = nets_of(Duel())
    trained(Duel(), whole, tmp_path / "whole")
    with pytest.raises(Interrupted):
        trained(Duel(), nets_of(Duel()), tmp_path / "parts", StopAfter(2))
    path = tmp_path / "parts" / "checkpoints" / "last.ckpt"
    stored = torch.load(path, weights_only=True)
    assert {"optimizer of the guesser", "optimizer of the one who flees"} <= set(stored)
    resumed = nets_of(Duel())
    trained(Duel(), resumed, tmp_path / "parts")
    assert [key for key, value in whole.state_dict().items() if not torch.equal(value, resumed.state_dict()[key])] == []
    stored["optimizer of the guesser"]["state"][0]["exp_avg"] += 1
    torch.save(stored, path)
    other = nets_of(Duel())
    trained(Duel(), other, tmp_path / "parts")
    assert not torch.equal(whole.guess.weight, other.guess.weight)


def test_the_log_tells_each_loss_and_their_sum(tmp_path):
    trained(Duel(), nets_of(Duel()), tmp_path)
    for line in lines(tmp_path):
        assert line["loss"] == pytest.approx(line["guesser_loss"] + line["one_who_flees_loss"])
        assert {"seen by guesser", "seen by one who flees"} <= set(line)
    assert lines(tmp_path)[0]["seen by guesser"] != lines(tmp_path)[0]["seen by one who flees"]


def test_what_is_remembered_in_any_turn_reaches_the_end_of_the_step():
    steps = {name: Step(torch.tensor(1.0), {}, {name: torch.ones(1)}) for name in ("a", "b")}
    assert set(step_of_all(steps).memory_updates) == {"a", "b"}
    assert step_of_all(steps).loss == 2


def test_images_count_where_the_encoder_learns():
    assert trained(Duel(), nets_of(Duel())).images == STEPS * 8  # though the guesser too looks at them


def test_one_that_diverges_is_noticed():
    @dataclass(frozen=True)
    class Lost(Duel):
        def compute_loss(self, nets, rows, progress):
            step = super().compute_loss(nets, rows, progress)
            return step._replace(loss=step.loss * float("nan")) if progress.player == "guesser" else step

    with pytest.raises(LikewiseError, match="The loss became nan"):
        trained(Lost(), nets_of(Lost()))


def test_a_part_of_no_player_or_of_two_is_refused():
    @dataclass(frozen=True)
    class Odd(Duel):
        parts: tuple = ()

        @property
        def players(self):
            return Player("guesser", ("guess", *self.parts)), Player("nobody", ())

    for parts in ((), ("encoder", "judge"), ("encoder", "encoder")):
        with pytest.raises(ValueError, match="Odd: each part that learns belongs to one player"):
            turns_of(Odd(parts), nets_of(Duel()), OTHERS)


def test_a_frozen_weight_inside_a_part_stays_frozen():
    nets = nets_of(Duel())
    nets.encoder.blocks[0][0].weight.requires_grad_(False)
    before = nets.encoder.blocks[0][0].weight.clone()
    trained(Duel(), nets)
    assert torch.equal(nets.encoder.blocks[0][0].weight, before)
    assert not nets.encoder.blocks[0][0].weight.requires_grad


def test_simclr_as_its_own_only_player_is_simclr():
    """The path of players and the path of none compute the same."""

    @dataclass(frozen=True)
    class Alone(SimCLR):
        @property
        def players(self):
            return (Player("everything", ("encoder", "head")),)

        def compute_loss(self, nets, rows, progress):
            return Step(nt_xent(rows["first"], rows["second"], self.temperature))

    ends = []
    for kind in (SimCLR, Alone):
        rule = kind(hidden=16, dim=8, views=method("simclr").views)
        nets = nets_of(rule)
        trained(rule, nets)
        ends.append(torch.cat([p.detach().flatten() for p in nets.parameters()]))
    assert torch.equal(*ends)
