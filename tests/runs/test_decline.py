"""The guard of a run that starts from weights: each score of the start is a floor of its own."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from torch import nn

import likewise as lw
from likewise.evaluation import online
from likewise.methods import Nets
from likewise.run_folder import RunFolder
from likewise.runs.decline import DeclineGuard
from likewise.training.kept_networks import kept
from likewise.training.screen import Screen

KNN, LINEAR = "knn20_top1", "linear_top1"
IMAGES = 200


class Answers:
    """Online scores in which so many of the validation images are right, the first ones."""

    def __init__(self, **first):
        self.right(**first)

    def right(self, **counts):
        self.correct = {name: torch.arange(IMAGES) < count for name, count in counts.items()}

    def __call__(self, nets):
        return {name: float(correct.float().mean()) for name, correct in self.correct.items()}


class State(SimpleNamespace):
    """What a callback sees, with what it did."""

    def __init__(self, folder, weight):
        nets = Nets(encoder=nn.Linear(1, 1))
        super().__init__(nets=nets, run=RunFolder(folder), step=0, lines=[], stopped="")
        self.set(weight)

    def set(self, weight):
        nn.init.constant_(self.nets.encoder.weight, weight)

    def log(self, line):
        self.lines.append(line)

    def stop(self, reason):
        self.stopped = reason

    @property
    def declines(self):
        return [line["decline"] for line in self.lines if "decline" in line]


def evaluate(guard, state, **counts):
    """One more evaluation, after a step that changed the networks."""
    state.step += 1
    state.set(state.step)
    guard.online.right(**counts)
    guard.on_evaluation(state)


@pytest.fixture
def started(tmp_path):
    """A guard and its run, whose start has both scores at 80%."""

    def start(action):
        state = State(tmp_path, weight=0.0)
        guard = DeclineGuard(
            Answers(**{KNN: 160, LINEAR: 160}), action, Screen(Console(file=io.StringIO()))
        )
        guard.on_start(state)
        return guard, state

    return start


@pytest.mark.parametrize(
    ("fallen", "name"), [(KNN, "k-NN"), (LINEAR, "linear probe")], ids=["neighbours", "probe"]
)
def test_either_score_below_the_start_is_a_decline_and_is_named(started, fallen, name):
    guard, state = started("stop")
    scores = {KNN: 165, LINEAR: 165} | {fallen: 100}
    evaluate(guard, state, **scores)
    assert not state.declines  # one evaluation may be chance
    evaluate(guard, state, **scores)
    (said,) = state.declines
    assert said.index("has fallen") < said.index("has not")
    assert name in said.split("has fallen")[0]
    assert "80.0%" in said
    assert "50.0%" in said
    assert state.stopped


def test_two_scores_that_take_turns_are_no_decline(started):
    guard, state = started("stop")
    evaluate(guard, state, **{KNN: 100, LINEAR: 165})
    evaluate(guard, state, **{KNN: 165, LINEAR: 100})
    assert not state.declines


def test_a_fall_within_the_interval_is_no_decline(started):
    guard, state = started("stop")
    for _ in range(3):
        evaluate(guard, state, **{KNN: 158, LINEAR: 158})
    assert not state.declines


def test_the_best_networks_are_those_of_the_best_mean_score(started):
    guard, state = started("rollback")
    evaluate(guard, state, **{KNN: 150, LINEAR: 190})
    evaluate(guard, state, **{KNN: 162, LINEAR: 166})
    evaluate(guard, state, **{KNN: 100, LINEAR: 100})
    evaluate(guard, state, **{KNN: 100, LINEAR: 100})
    assert kept(state.run.best)["step"] == 1
    guard.on_end(state)
    assert float(state.nets.encoder.weight) == 1.0


def test_a_resumed_run_has_the_floors_of_its_start(started):
    _, state = started("warn")
    state.step = 1
    again = DeclineGuard(Answers(**{KNN: 1, LINEAR: 1}), "warn", Screen(Console(quiet=True)))
    again.on_start(state)
    for _ in range(2):
        evaluate(again, state, **{KNN: 165, LINEAR: 100})
    assert len(state.declines) == 1


def scores_of(monkeypatch, linear):
    """Online scores of images that are in the order of their classes, as a folder has them."""
    labels = torch.arange(3).repeat_interleave(60)
    images = (labels[:, None, None, None] * 100).byte().expand(-1, 1, 8, 8).contiguous()
    splits = lw.prepare((images, labels), method="simclr", labels="all", val_fraction=0.2).splits
    monkeypatch.setattr(online, "PROBED", 20)
    scores = online.OnlineScores(splits, 8, 0, torch.device("cpu"), linear=linear)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    return scores(Nets(encoder=network)), scores.correct


def test_the_probe_learns_from_images_of_every_class(monkeypatch):
    scores, correct = scores_of(monkeypatch, linear=True)
    assert scores[LINEAR] == 1.0
    assert list(correct) == [KNN, LINEAR]


def test_a_run_from_random_weights_fits_no_probe(monkeypatch):
    scores, correct = scores_of(monkeypatch, linear=False)
    assert LINEAR not in scores
    assert list(correct) == [KNN]
