"""Ten optimiser steps give the losses that the authors' own code gave from the same weights and pixels, in float64."""

import dataclasses
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from likewise.data.batch import Batch, Pixels
from likewise.methods import METHODS, Progress
from likewise.training.optimizers import build_optimizer

STEPS, BATCH, CLASSES, PER_CLASS = 10, 16, 4, 2
SUPPORT = CLASSES * PER_CLASS
RUN = 100
"""steps of the run, of which ten are taken"""

CASES = {
    # method: its settings, the preset of its optimiser, the rate that the preset's batch has here
    "moco-v2": ({"queue": 64, "momentum": 0.9}, "imagenet", 0.06),
    "simsiam": ({"bottleneck": 4, "layers": 3, "dim": 12}, "imagenet", 0.06),
    "barlow-twins": ({}, "imagenet", 0.2),
    "isd": ({"queue": 64, "teacher_temperature": 0.05, "momentum": 0.9}, "imagenet", 0.06),
    "supcon": ({}, "small", 0.12),
    "swav": ({"prototypes": 9, "small_crops": 2, "frozen_until": 0.0}, "imagenet", 4.8),
    "suncet": ({"temperature": 0.1, "head_batch_norm": False}, "imagenet", 4.8),
    "fixmatch": ({"threshold": 0.3, "window": 32}, "comatch-baseline", 0.03),
    "comatch": ({"threshold": 0.3, "graph_threshold": 0.3, "queue": 120}, "small", 0.03),
}
# fmt: off
LOSSES = {
    "moco-v2": [
        5.88785734, 4.11932031, 3.4574697, 3.43976778, 3.75325754,
        3.75538724, 3.90203641, 4.03930942, 4.07168807, 4.07138974,
    ],
    "simsiam": [
        0.979798371, 0.93667033, 0.930474972, 0.951241244, 0.94133086,
        0.973924059, 0.938702895, 0.904455946, 0.946196376, 0.915167101,
    ],
    "barlow-twins": [
        0.198808717, 0.192709846, 0.259235624, 0.230208172, 0.141202379,
        0.166286455, 0.208641207, 0.218331, 0.182578073, 0.1651846,
    ],
    "isd": [
        6.2327141, 6.03542086, 7.29046258, 7.80344559, 8.14208616,
        7.80787536, 7.89149963, 9.03968476, 8.56148353, 9.24786857,
    ],
    "supcon": [
        7.99828365, 4.30966266, 3.48188278, 3.44027975, 3.4369085,
        3.43404228, 3.43381229, 3.43432175, 3.4342988, 3.43399217,
    ],
    "swav": [
        6.8431576, 6.89590831, 6.50513684, 6.95607494, 6.40592554,
        6.26658636, 5.84875819, 5.39225936, 5.15278116, 4.94960143,
    ],
    "suncet": [
        16.3132535, 14.8263275, 10.450337, 9.84205493, 11.9648697,
        11.6878994, 8.56429052, 6.88935155, 5.72027663, 5.49791729,
    ],
    "fixmatch": [
        2.36917962, 2.23065542, 2.0510189, 2.32819635, 2.09566286,
        2.27573701, 2.25543465, 2.46914911, 2.57076093, 2.64078319,
    ],
    "comatch": [
        9.09356779, 5.49181591, 5.17677303, 5.23516987, 4.87769416,
        4.89551612, 5.0867697, 5.0022998, 5.22040815, 5.22059762,
    ],
}
# fmt: on
"""Of moco/builder.py, simsiam/builder.py, barlowtwins/main.py with its LARS, train_isd_plus.py, SupContrast/losses.py,
swav/main_swav.py with apex's LARC, suncet's first src/losses.py with LARC, and CoMatch's Train_fixmatch.py and
Train_CoMatch.py with their schedule, run as they are on the pixels and weights of this file."""

TOLERANCES = {"barlow-twins": 1e-6, "fixmatch": 1e-6, "comatch": 1e-4}
"""LARS adds norms of gradient and decay here and takes that of their sum there; a loss in float32; 1e-7 in a log."""


class TinyEncoder(nn.Module):
    """Two convolutions with batch normalisation."""

    width = 12

    def __init__(self):
        super().__init__()
        self.first, self.first_norm = nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8)
        self.second, self.second_norm = nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12)

    def forward(self, pixels):
        hidden = self.first_norm(self.first(pixels)).relu()
        return self.second_norm(self.second(hidden)).relu().mean((2, 3))


def waves(shape, phase):
    """Numbers in [-1, 1] that look random and need no generator."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(count * 12.9898 + count.square() * 0.0137 + phase).view(shape)


def pixels(step, name, count=BATCH, side=9):
    phase = 100.0 * step + sum(map(ord, name))
    return (waves((count, 3, side, side), phase) + 1) / 2


@torch.no_grad()
def fill(nets):
    """Every weight, teachers' as their students'."""
    teacher = getattr(nets, "teacher", None)
    for name, part in nets.named_children():
        if name in ("teacher", "queue", "history"):
            continue
        for number, weight in enumerate(part.parameters()):
            made = waves(weight.shape, 7.0 * number + len(name))
            spread = weight[0].numel() ** -0.5 if weight.dim() > 1 else 0.1
            centre = float(weight.dim() == 1 and bool((weight == 1).all()))  # a norm's factor
            weight.copy_(centre + 1.7 * spread * made)
    if hasattr(nets, "prototypes"):
        nets.prototypes.renormalise()
    if teacher is not None:
        taught = ("encoder", "head", "projector", "classifier")
        parts = [part for name, part in nets.named_children() if name in taught]
        student = [weight for part in parts for weight in part.parameters()]
        for copied, weight in zip(teacher.parameters(), student, strict=True):
            copied.copy_(weight)
    if hasattr(nets, "queue"):
        nets.queue.rows.copy_(F.normalize(waves(nets.queue.rows.shape, 3.0), dim=1))
        if "probabilities" in nets.queue.columns:
            logits = 2 * waves(nets.queue.probabilities.shape, 4.0)
            nets.queue.probabilities.copy_(logits.softmax(dim=1))
        nets.queue.pushed.fill_(len(nets.queue))


def rule_of(name):
    settings, _, _ = CASES[name]
    kind = METHODS[name]
    known = {field.name for field in dataclasses.fields(kind)}
    small = {"hidden": 12, "dim": 6, "classes_per_batch": CLASSES, "images_per_class": PER_CLASS}
    if name == "comatch":
        small["head_negative_slope"] = 0.1
    return kind(**{key: value for key, value in {**small, **settings}.items() if key in known})


def nets_of(name):
    nets = rule_of(name).build(TinyEncoder(), CLASSES).double()
    fill(nets)
    return nets


def recipe_of(name):
    _, preset, rate = CASES[name]
    recipe = METHODS[name].card.presets[preset].recipe
    return dataclasses.replace(recipe, learning_rate=rate * 256 / BATCH)


def labels_of(step):
    return (torch.arange(BATCH) * (step + 3)) % CLASSES


SUPPORT_LABELS = torch.arange(CLASSES).repeat(PER_CLASS)
"""c1..cC, c1..cC, as both samplers deal them"""


def batch_of(name, step):
    """Labels of this file; the pixels of its views are fed."""

    def made(labels, support=None):
        count = len(labels)
        shown = Pixels(torch.zeros(count, 3, 2, 2, dtype=torch.uint8), torch.ones(count))
        return Batch(shown, labels, torch.arange(count), support)

    support = made(SUPPORT_LABELS) if rule_of(name).support is not None else None
    return made(labels_of(step), support)


def fed(name, step):
    """The pixels of a view by its name."""
    if name == "support":
        return pixels(step, name, SUPPORT)
    return pixels(step, name, side=7 if name.startswith("small") else 9)


@pytest.fixture
def fed_views(monkeypatch):
    """Methods get the pixels of this file for their views; returns a function that sets the step."""
    now = [0]

    def one_view(policy, batch, progress, name="view"):
        return fed(name, now[0])

    def two_views(policy, batch, progress, other=None):
        return [fed("first view", now[0]), fed("second view", now[0])]

    methods = [name for name in sys.modules if name.startswith("likewise.methods.")]
    for module in map(sys.modules.get, methods):
        for view in (one_view, two_views):
            if hasattr(module, view.__name__):
                monkeypatch.setattr(module, view.__name__, view)
    return now


def losses_of(name, now):
    rule, nets, recipe = rule_of(name), nets_of(name), recipe_of(name)
    optimizer = build_optimizer(recipe, nets, BATCH)
    losses = []
    for step in range(STEPS):
        now[0] = step
        where = Progress(step, RUN, steps_per_epoch=10)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate_at(step, RUN, 10, BATCH)
        taken = rule.step(nets, batch_of(name, step), where)
        optimizer.zero_grad()
        taken.loss.backward()
        optimizer.step()
        rule.after_update(nets, taken.with_detached_records(), where)
        losses.append(taken.loss.item())
    return losses


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_are_those_of_the_authors_code(name, fed_views):
    tolerance = TOLERANCES.get(name, 1e-7)
    assert losses_of(name, fed_views) == pytest.approx(LOSSES[name], rel=tolerance)
