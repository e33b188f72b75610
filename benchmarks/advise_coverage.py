"""Does ``likewise advise`` promise what its classifier keeps? Draws of labels, each with hundreds of new images.

python benchmarks/advise_draws.py --sets folder/*.npz --into draws
python benchmarks/advise_coverage.py --draws draws --sets cars deer digits imagenette

The first command makes the draws. The second compares the promise of each, made from the labels that were shown, with
the accuracy on the new images. Imagenette's images are among those that lite0 was trained on: a promise about them can
be checked, a gain cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from advise_draws import Draw, accuracies, stored
from measuring import Claim, Table, keep

from likewise.advice.cross_validation import answers_of
from likewise.advice.expected import EXPONENT, choose, expected_accuracy
from likewise.advice.folds import NEVER
from likewise.advice.winner import eligible
from likewise.advice.worth import UNLABELLED_IMAGES, gains_of
from likewise.evaluation.statistics.confidence import wilson

TITLE = "Does advise promise what its classifier keeps?"
ARMS = "Arms on lite0's frozen features"
COLUMNS = (
    "data", "labels", "promised", "came true", "within the 95% interval", "less came true", "more came true",
    "width of the interval, points", "behind the best arm, points", "behind if chosen by accuracy, points",
    "false claims about unlabelled images",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Which draws."""

    draws: Path = Path("draws")
    """folder that advise_draws.py filled"""
    sets: tuple[str, ...] = ("cars", "deer", "digits", "imagenette")
    """names of sets"""
    labels: tuple[int, ...] = (20, 50, 100, 200, 500)
    """in a draw"""


class Promise(NamedTuple):
    """One advice, and what came true."""

    expected: float
    low: float
    high: float
    true: float
    """accuracy of the winner fitted to all labels, on new images"""
    best: float
    """of the arm that is best on new images"""
    by_accuracy: float
    """of the arm that would be chosen by accuracy"""
    false_claim: bool
    """whether it says that images without a label helped, and they did not"""


def promise(draw: Draw, seed: int) -> Promise:
    """What an advice says about a draw, and what came true."""
    arms, held_out = eligible(draw.tried[: draw.offered]), draw.fold_of != NEVER
    answers = answers_of(arms, draw.labels, held_out)
    groups = None if draw.groups is None else draw.groups[held_out]
    folds = int(draw.fold_of.max()) + 1
    found = expected_accuracy(answers, folds, groups, seed, float(held_out.double().mean()))
    new = accuracies(draw)
    shares = [new[arm.card.name] for arm in arms]
    by_accuracy = int(choose(answers.correct.double().mean(dim=0)))
    true = shares[answers.best]
    return Promise(*found, true, max(shares), shares[by_accuracy], false_claim(draw, new))


def false_claim(draw: Draw, new: Mapping[str, float]) -> bool:
    """Whether an advice says that images without a label helped, and they did not on new images."""
    gains = gains_of(draw.tried[: draw.offered], draw.labels, draw.groups)
    gain = next(each for each in gains if each.of == UNLABELLED_IMAGES)
    claimed = gain.low is not None and gain.low > 0
    return claimed and new[gain.first] <= new[gain.second]


def row(name: str, labels: int, found: list[Promise]) -> list[str]:
    """The figures of so many labels, as `COLUMNS` name them."""
    table = torch.tensor([list(map(float, each)) for each in found], dtype=torch.float64)
    expected, low, high, true, best, by_accuracy, false = table.T
    inside = (low <= true) & (true <= high)
    return [
        name,
        str(labels),
        f"{expected.mean():.1%}",
        f"{true.mean():.1%}",
        f"{inside.sum()} of {len(found)}",
        str(int((true < low).sum())),
        str(int((true > high).sum())),
        f"{100 * (high - low).mean():.1f}",
        f"{100 * (best - true).mean():.1f}",
        f"{100 * (best - by_accuracy).mean():.1f}",
        f"{false.mean():.0%}",
    ]


def claim(found: list[Promise]) -> Claim:
    """What the interval says of itself, with the binomial interval of what was counted."""
    inside = sum(each.low <= each.true <= each.high for each in found)
    share, low, high = wilson(inside / len(found), len(found))
    note = f"{inside} of {len(found)} draws; binomial interval {low:.3f} to {high:.3f}"
    words = "the accuracy lies within its 95% interval in 90% of all draws or more"
    return Claim(words, 0.9, share, note=note)


def main(settings: Settings) -> None:
    table, everything = Table(ARMS, COLUMNS), []
    for labels in settings.labels:
        for name in settings.sets:
            draws = stored(settings.draws, name, labels)
            found = [promise(draw, seed) for seed, draw in enumerate(draws)]
            if found:
                table.rows.append(row(name, labels, found))
                everything += found
    keep("advise_coverage", TITLE, [table], [claim(everything)], exponent=EXPONENT)


if __name__ == "__main__":
    main(tyro.cli(Settings))
