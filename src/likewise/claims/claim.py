"""What a published claim is here: a sentence of a paper, the arms that it compares, and inequalities with numbers."""

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
"""The score of the curves: nearest neighbours on images held out of training, never the test images."""

Axis = Literal["images", "seconds", "epochs"]


@dataclass(frozen=True)
class Arm:
    """One of the ways of learning that a claim compares."""

    name: str
    """as tables and pages call it"""
    method: Method
    """with its settings"""
    settings: TrainSettings
    """what it learns from and for how long; the seed is the reproduction's"""
    measures: tuple[Measure, ...]
    """what is asked of it at the end, on the test images"""
    recipe: Recipe | None = None
    """optimiser and schedule; None takes the method's own"""
    teacher: Arm | None = None
    """how the run that a distillation method learns from is trained, with the same seed; its scores are not compared"""


@dataclass(frozen=True)
class Result:
    """What one arm gave with one seed."""

    arm: str
    """its name"""
    seed: int
    """of weights, order, views, parts held out, labels drawn and falsified"""
    scores: Mapping[str, float]
    """by name, each a share of test images from 0 to 1"""
    curve: list[dict[str, float]]
    """`ONLINE` during training: step, epochs, images, seconds, score"""
    steps: int
    """of the optimiser"""
    epochs: float
    """passes over the training images, support not counted"""
    images: int
    """views that the trained encoder forwarded with gradient, support counted, teachers not"""
    seconds: float
    """of training, looking at scores left out"""
    measuring: float
    """seconds that the final measures took"""
    environment: dict[str, Any]
    """commit, versions, machine, precision"""


@dataclass(frozen=True)
class Replicate:
    """The results of all arms with one seed, which share data, held-out parts and first weights."""

    seed: int
    """of all of them"""
    results: Mapping[str, Result]
    """by arm"""

    def score(self, arm: str, name: str) -> float:
        """A final score on the test images."""
        return self.results[arm].scores[name]

    def ahead(self, first: str, second: str, name: str) -> float:
        """By how much one arm's score is above another's."""
        return self.score(first, name) - self.score(second, name)

    def share_to_reach(self, arm: str, reference: str, cost: Axis) -> float:
        """What an arm spent to reach the reference's last online score, as a share of what the reference spent.

        The reference too is charged where its curve first reaches that score. Infinite where the arm never does.
        """
        curves = self.results[arm].curve, self.results[reference].curve
        target = curves[1][-1][ONLINE]
        mine, theirs = (first_crossing([p[cost] for p in c], [p[ONLINE] for p in c], target) for c in curves)
        if mine is None or theirs is None:
            return math.inf
        return mine.place / theirs.place


@dataclass(frozen=True)
class Statement:
    """An inequality: a number from each seed, and what it has to be.

    It holds where the numbers' mean meets it and so do two thirds of the seeds, each by itself.
    """

    sentence: str
    """what is compared, in words"""
    value: Callable[[Replicate], float]
    """the number of one seed: mostly a paired difference of two arms"""
    relation: Literal[">", ">=", "<=", "<"]
    """to the bound"""
    bound: float
    """to be met"""
    unit: Literal["points", "share", "number"] = "points"
    """points: a difference of accuracies, shown in percent; share: of a cost; number: as it is"""
    over_seeds: Literal["mean", "median"] = "mean"
    """how seeds are put together; a median where a number can be infinite"""
    algebra: bool = False
    """whether it is exact and needs no training, so that it says nothing about learning"""
    premise: Statement | None = None
    """what has to hold for the question to make sense; else it cannot be told"""


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper, and how it is checked at small scale."""

    paper: str
    """authors, year, where in the paper, address"""
    sentence: str
    """what the paper claims, in a sentence"""
    check: str
    """how it is checked here, and where that differs from the paper"""
    arms: tuple[Arm, ...]
    """what is compared"""
    statements: tuple[Statement, ...]
    """what has to come out"""
    minutes: float
    """expected for all arms and three seeds on two quiet cores"""
    axis: Axis
    """the cost that the curves are drawn against"""
    data: str = "fashion-mnist-mini"
    """a named set; fashion-mnist is Debian's dataset-fashion-mnist, or is downloaded"""
    seeds: tuple[int, ...] = field(default=(0, 1, 2))
    """that count as evidence"""

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(set(names)) != len(names):
            raise ValueError(f"arms of one claim need different names: {names}")
