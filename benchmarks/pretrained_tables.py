"""What the runs of `pretrained_semi_supervised.py` come to: mean accuracies, and paired differences over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from measuring import Claim, Table
from scipy.stats import t as student

PROPAGATION = "label propagation, frozen"
LABELS_ONLY = "full, labels only"
"""the better of full and LoRA on the validation images"""

SEMI_SUPERVISED = ("suncet", "comatch", "fixmatch", "ensemble-pseudo-labels")

Arms = Sequence[Mapping[str, Any]]


class Difference(NamedTuple):
    """Of two arms with the same labels, in points: the mean over seeds, and its 95 % interval by Student's t."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """Whether the interval excludes 0."""
        if self.low > 0:
            return "ahead"
        return "behind" if self.high < 0 else "not told apart"

    def __str__(self) -> str:
        return f"{self.mean:+.1f} ({self.low:+.1f} to {self.high:+.1f}), {self.verdict}"


def accuracies(arms: Arms, name: str, budget: int) -> dict[int, float]:
    """In percent, by seed; an arm that failed is left out."""
    found = {}
    for each in arms:
        if (each["arm"], each["budget"]) == (name, budget) and each["accuracy"] is not None:
            found[each["seed"]] = 100 * each["accuracy"]
    return found


def difference(arms: Arms, first: str, second: str, budget: int) -> Difference | None:
    """The first arm's accuracy minus the second's; None where fewer than two seeds have both."""
    ours, theirs = accuracies(arms, first, budget), accuracies(arms, second, budget)
    pairs = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    if len(pairs) < 2:
        return None
    mean = statistics.mean(pairs)
    error = statistics.stdev(pairs) / len(pairs) ** 0.5
    half = float(student.ppf(0.975, len(pairs) - 1)) * error
    return Difference(mean, mean - half, mean + half, len(pairs))


def accuracy_table(arms: Arms, budgets: Sequence[int], title: str) -> Table:
    """Mean and standard deviation over seeds, and the optimiser steps and processor seconds of an arm."""
    columns = ["arm", *(f"{budget} labels a class" for budget in budgets), "steps", "seconds"]
    table = Table(title, columns)
    for name in dict.fromkeys(each["arm"] for each in arms):
        cells = []
        for budget in budgets:
            values = list(accuracies(arms, name, budget).values())
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.1f}{spread}" if values else "none")
        done = [each for each in arms if each["arm"] == name and each["accuracy"] is not None]
        steps = str(done[0]["steps"]) if done else ""
        seconds = statistics.mean(each["processor_seconds"] for each in done) if done else 0.0
        table.rows.append([name, *cells, steps, f"{seconds:.0f}"])
    return table


def difference_table(arms: Arms, budgets: Sequence[int], reference: str, title: str) -> Table:
    """Every other arm that trains, minus a reference."""
    table = Table(title, ["arm", *(f"{budget} labels a class" for budget in budgets)])
    for name in dict.fromkeys(each["arm"] for each in arms):
        if name == reference or ("frozen" in name and name != PROPAGATION):
            continue
        found = [difference(arms, name, reference, budget) for budget in budgets]
        table.rows.append([name, *("none" if each is None else str(each) for each in found)])
    return table


def claims(arms: Arms, budgets: Sequence[int]) -> list[Claim]:
    """Every semi-supervised arm is to beat label propagation, and one of them labels alone."""
    made = []
    for budget in budgets:
        worst = _extreme(arms, PROPAGATION, budget, min)
        best = _extreme(arms, LABELS_ONLY, budget, max)
        words = f"{budget} labels a class: the worst semi-supervised arm minus label propagation"
        made.append(_claim(f"{words}, points", worst))
        words = f"{budget} labels a class: the best semi-supervised arm minus {LABELS_ONLY}"
        made.append(_claim(f"{words}, points", best))
    return made


Named = tuple[str, Difference]


def _extreme(arms: Arms, reference: str, budget: int, choose: Callable[..., Named]) -> Named | None:
    """The semi-supervised arm with the least or the greatest mean difference from a reference."""
    found: list[Named] = []
    for name in SEMI_SUPERVISED:
        each = difference(arms, name, reference, budget)
        if each is not None:
            found.append((name, each))
    return choose(found, key=lambda named: named[1].mean) if found else None


def _claim(words: str, found: Named | None) -> Claim:
    if found is None:
        return Claim(words, 0.0, None, note="fewer than two seeds")
    name, each = found
    return Claim(words, 0.0, each.mean, note=f"{name}: {each}")
