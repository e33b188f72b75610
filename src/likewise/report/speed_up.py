"""How much sooner one run reached the accuracy at which another ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from likewise.report.wording import listed, percent, ratio

COSTS = {"images": "the images", "seconds": "the time"}
"""What a run spends, and how a ratio of it is said."""


class Crossing(NamedTuple):
    """Where a curve first reaches a target."""

    place: float
    upper_bound: bool
    """the first measurement was there already, so the true place is this or earlier"""


class Curve(NamedTuple):
    """An accuracy measured while a run learned."""

    name: str
    """the run"""
    values: Sequence[float]
    costs: dict[str, Sequence[float]]
    """images and seconds at each value, both rising"""

    def crossing(self, cost: str, target: float) -> Crossing | None:
        """Where the target is first reached."""
        return first_crossing(self.costs[cost], self.values, target)


class SpeedUp(NamedTuple):
    """What a run spent to reach another's final accuracy, as a share of what the other had spent by then."""

    run: str
    reference: str
    target: float
    """the reference's last online value"""
    ratios: dict[str, float] | None
    """by cost; None where the run never reached the target"""
    at_most: bool
    """the run was there at its first measurement, so its ratios are upper bounds"""
    best: float
    """the run's best online value"""

    def __str__(self) -> str:
        """The finding in a sentence."""
        goal = f"{self.reference}'s accuracy of {percent(self.target)}"
        if self.ratios is None:
            return f"{self.run} never reached {goal}: its best was {percent(self.best)}."
        if not self.ratios:
            unknown = f"{self.reference} held it from its first measurement on, so no ratio can be told"
            return f"{self.run} reached {goal}, but {unknown}."
        bound = "at most " if self.at_most else ""
        shares = listed([f"{bound}{ratio(value)} of {COSTS[cost]}" for cost, value in self.ratios.items()])
        return f"{self.run} reached {goal} in {shares}."


def first_crossing(places: Sequence[float], values: Sequence[float], target: float) -> Crossing | None:
    """Where a curve first reaches a target, on the straight line between two measurements.

    Args:
        places: rising positions.
        values: one value a position; those that are not numbers are passed over.
        target: what is to be reached.

    Returns:
        None where the target is never reached.
    """
    before: tuple[float, float] | None = None
    for place, value in zip(places, values, strict=True):
        if not math.isfinite(value):
            continue
        if value >= target:
            if before is None:
                return Crossing(place, upper_bound=True)
            share = (target - before[1]) / (value - before[1])
            return Crossing(before[0] + share * (place - before[0]), upper_bound=False)
        before = (place, value)
    return None


def speed_up(run: Curve, reference: Curve) -> SpeedUp:
    """Compare what both spent until they first reached the reference's last value.

    The reference too is measured at its *first* crossing: a curve that levelled off early would otherwise flatter
    whoever is held against its full length.
    """
    finite = [value for value in reference.values if math.isfinite(value)]
    target = finite[-1]
    best = max((value for value in run.values if math.isfinite(value)), default=math.nan)
    ratios: dict[str, float] = {}
    at_most = False
    for cost in [cost for cost in COSTS if cost in run.costs and cost in reference.costs]:
        mine, theirs = run.crossing(cost, target), reference.crossing(cost, target)
        if mine is None or theirs is None:
            return SpeedUp(run.name, reference.name, target, None, False, best)
        at_most = mine.upper_bound
        if not theirs.upper_bound and theirs.place > 0:
            ratios[cost] = mine.place / theirs.place
    return SpeedUp(run.name, reference.name, target, ratios, at_most, best)
