"""A published claim: a sentence of a paper, the arms that it compares, and inequalities with numeric bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from likewise.claims.measures import Measure
from likewise.methods import Method, Recipe
from likewise.report.speed_up import first_crossing
from likewise.runs.settings import TrainSettings

ONLINE = "knn20_top1"
"""The score of the learning curves: nearest neighbours on validation images, never on test images."""

Axis = Literal["images", "seconds", "epochs"]


@dataclass(frozen=True)
class Arm:
    """One of the training runs that a claim compares."""

    name: str
    """its name in tables and on pages"""
    method: Method
    """with its settings"""
    settings: TrainSettings
    """data and length of training; the reproduction sets the seed"""
    measures: tuple[Measure, ...]
    """what is measured after training, on the test images"""
    recipe: Recipe | None = None
    """optimiser and schedule; None: the method's own"""
    teacher: Arm | None = None
    """how the run that a distillation method learns from is trained, with the same seed; its scores are not compared"""


@dataclass(frozen=True)
class Result:
    """One arm trained with one seed."""

    arm: str
    """the arm's name"""
    seed: int
    """of weights, order, views, held-out parts, label budget and label noise"""
    scores: Mapping[str, float]
    """by name; accuracies are shares of the test images from 0 to 1"""
    curve: list[dict[str, float]]
    """`ONLINE` during training: step, epochs, images, seconds, score"""
    steps: int
    """optimiser steps"""
    epochs: float
    """passes over the training images, support not counted"""
    images: int
    """views that the trained encoder processed with gradient: support included, teachers not"""
    seconds: float
    """training time, without online scores"""
    evaluation_seconds: float
    """time of the final measures"""
    environment: dict[str, Any]
    """commit, versions, machine, precision"""


@dataclass(frozen=True)
class Replicate:
    """The results of all arms with one seed; they share data, held-out parts and initial weights."""

    seed: int
    """the seed of all arms"""
    results: Mapping[str, Result]
    """by the arm's name"""

    def score(self, arm: str, name: str) -> float:
        """A final score on the test images."""
        return self.results[arm].scores[name]

    def difference(self, first: str, second: str, name: str) -> float:
        """One arm's score minus another's."""
        return self.score(first, name) - self.score(second, name)

    def share_to_reach(self, arm: str, reference: str, cost: Axis) -> float:
        """An arm's cost of reaching the reference's last online score, as a share of the reference's cost.

        The reference's cost, too, is where its curve first reaches that score. Infinite where the arm never does.
        """
        target = self.results[reference].curve[-1][ONLINE]
        spent = _cost_to_reach(target, self.results[arm].curve, cost)
        reference_spent = _cost_to_reach(target, self.results[reference].curve, cost)
        if spent is None or reference_spent is None:
            return math.inf
        return spent / reference_spent


def _cost_to_reach(target: float, curve: list[dict[str, float]], cost: Axis) -> float | None:
    """The cost at which a curve first reaches a score; None where it never does."""
    costs = [point[cost] for point in curve]
    scores = [point[ONLINE] for point in curve]
    crossing = first_crossing(costs, scores, target)
    return None if crossing is None else crossing.cost


@dataclass(frozen=True)
class Statement:
    """An inequality: a number from each seed, and its bound.

    It holds where the mean over seeds meets it and two thirds of the seeds meet it on their own.
    """

    sentence: str
    """the quantity, in words"""
    value: Callable[[Replicate], float]
    """its value with one seed, mostly a paired difference of two arms"""
    relation: Literal[">", ">=", "<=", "<"]
    """how the value must compare with the bound"""
    bound: float
    """the bound"""
    unit: Literal["points", "share", "number"] = "points"
    """points: a difference of accuracies, printed in percent; share: of a cost; number: as it is"""
    over_seeds: Literal["mean", "median"] = "mean"
    """how seeds are averaged; the median where a value can be infinite"""
    algebra: bool = False
    """whether it is exact and needs no training, so that it says nothing about learning"""
    premise: Statement | None = None
    """the condition under which the statement makes sense; without it the verdict is inconclusive"""


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper, and how it is tested at small scale."""

    paper: str
    """authors, year, section, URL"""
    sentence: str
    """what the paper claims, in a sentence"""
    check: str
    """how it is tested here, and where that differs from the paper"""
    arms: tuple[Arm, ...]
    """the training runs that are compared"""
    statements: tuple[Statement, ...]
    """the inequalities that must hold"""
    minutes: float
    """expected time of all arms and three seeds on two idle cores"""
    axis: Axis
    """the cost on the x axis of the learning curves"""
    data: str = "fashion-mnist-mini"
    """a built-in data set; fashion-mnist is Debian's dataset-fashion-mnist, or is downloaded"""
    seeds: tuple[int, ...] = field(default=(0, 1, 2))
    """the seeds that evidence needs"""

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"arms of one claim need different names: {names}")
