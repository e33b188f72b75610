"""The speed-up of a run: how soon it reaches the final accuracy of another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from likewise.report.wording import listed, percent, ratio

COSTS = {"images": "the images", "seconds": "the time"}
"""What a run spends, and its name in a sentence."""


class Crossing(NamedTuple):
    """Where a curve first reaches a target."""

    cost: float
    upper_bound: bool
    """the first measurement reached the target already, so the true crossing is this or earlier"""


class Curve(NamedTuple):
    """An accuracy measured while a run learned."""

    name: str
    """the run"""
    values: Sequence[float]
    costs: Mapping[str, Sequence[float]]
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
    """by cost; None where the run never reached the target, empty where the reference never rose to it"""
    at_most: bool
    """the run reached the target at its first measurement, so its ratios are upper bounds"""
    best: float
    """the run's best online value"""

    def __str__(self) -> str:
        """The finding in a sentence."""
        if self.ratios is not None and not self.ratios:
            return (
                f"{self.reference}'s accuracy ({percent(self.target)} at the end) did not rise after its first "
                f"measurement, so no speed-up of {self.run} can be stated."
            )
        goal = f"{self.reference}'s accuracy of {percent(self.target)}"
        if self.ratios is None:
            return f"{self.run} never reached {goal}: its best was {percent(self.best)}."
        bound = "at most " if self.at_most else ""
        shares = listed(
            [f"{bound}{ratio(value)} of {COSTS[cost]}" for cost, value in self.ratios.items()]
        )
        return f"{self.run} reached {goal} in {shares}."


def first_crossing(
    costs: Sequence[float], values: Sequence[float], target: float
) -> Crossing | None:
    """Where a curve first reaches a target, interpolated linearly between two measurements.

    Args:
        costs: rising.
        values: one value for each cost; those that are not finite are skipped.
        target: the value to reach.

    Returns:
        None where the target is never reached.
    """
    before: tuple[float, float] | None = None
    for cost, value in zip(costs, values, strict=True):
        if not math.isfinite(value):
            continue
        if value >= target:
            if before is None:
                return Crossing(cost, upper_bound=True)
            cost_before, value_before = before
            share = (target - value_before) / (value - value_before)
            return Crossing(cost_before + share * (cost - cost_before), upper_bound=False)
        before = (cost, value)
    return None


def speed_up(run: Curve, reference: Curve) -> SpeedUp:
    """Compare the costs at which both first reach the reference's last value.

    The reference too is measured at its *first* crossing: otherwise a reference that levelled off early would make
    every run that is compared with its full length look faster.
    """
    *_, target = filter(math.isfinite, reference.values)
    best = max(filter(math.isfinite, run.values), default=math.nan)
    ratios: dict[str, float] = {}
    at_most = False
    for cost in COSTS:
        if cost not in run.costs or cost not in reference.costs:
            continue
        of_run = run.crossing(cost, target)
        of_reference = reference.crossing(cost, target)
        if of_reference is None or of_reference.upper_bound:
            # The reference did not learn its way to the target, so there is nothing to be faster than.
            continue
        if of_run is None:
            return SpeedUp(run.name, reference.name, target, None, False, best)
        at_most = of_run.upper_bound
        if of_reference.cost > 0:
            ratios[cost] = of_run.cost / of_reference.cost
    return SpeedUp(run.name, reference.name, target, ratios, at_most, best)
