"""Does ``likewise advise`` promise what its classifier keeps? Draws of labels, each with hundreds of new images.

python benchmarks/advise_draws.py --sets folder/*.npz --into draws
python benchmarks/advise_coverage.py --draws draws --labels 20 50

The first command makes the draws. The second compares the promise of each, made from the labels that were shown, with
the accuracy on the new images. Imagenette's images are among those that lite0 was trained on: a promise about them can
be checked, a gain cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import NamedTuple

import torch
import tyro
from advise_draws import Draw, StoredDraws, accuracies, stored
from measuring import Claim, Table, keep

from likewise.advice.cross_validation import TriedArm, answers_of
from likewise.advice.expected import EXPONENT, expected_accuracy
from likewise.advice.folds import NEVER
from likewise.advice.winner import eligible
from likewise.advice.worth import UNLABELLED_IMAGES, gains_of
from likewise.classification import fit_temperature
from likewise.classification.selective import choose_threshold
from likewise.classification.temperature import confidences
from likewise.evaluation.metrics.calibration import calibration
from likewise.evaluation.statistics.confidence import wilson
from likewise.randomness import generator

TITLE = "Does advise promise what its classifier keeps?"
ARMS = "Arms on lite0's frozen features"
COLUMNS = (
    "data", "labels", "promised", "came true", "within the 95% interval", "less came true", "more came true",
    "width of the interval, points", "false claims about unlabelled images",
)  # fmt: skip
PROBABILITIES = "Probabilities of new images"
PROBABILITY_COLUMNS = (
    "data", "labels", "probability less accuracy, points", "calibration error", "at the best temperature",
    "without any miscalibration", "sure", "correct of these",
    "precision of 95% kept",
)  # fmt: skip

PRECISE = 0.95
"""stated precision of predictions that are not unsure"""


class Promise(NamedTuple):
    """One advice, and what came true."""

    expected: float
    low: float
    high: float
    true: float
    """accuracy of the winner fitted to all labels, on new images"""
    false_claim: bool
    """whether it says that images without a label helped, and they did not"""


class Probabilities(NamedTuple):
    """What the winner says about new images."""

    over: float
    """mean probability of the answers, less their accuracy: above zero where it is too sure"""
    error: float
    """expected calibration error"""
    least: float
    """the same at the temperature that suits the new images best, which nobody knows"""
    floor: float
    """the same if each prediction were correct with exactly its probability: so few images measure no less"""
    sure: int
    """predictions that are not unsure"""
    correct: int
    """of those"""
    images: int

    @property
    def kept(self) -> bool:
        """Whether the precision, or its 95% interval, reaches the stated one; also where nothing is sure."""
        return not self.sure or wilson(self.correct / self.sure, self.sure).high >= PRECISE


def judged(draw: Draw, seed: int) -> tuple[Promise, Probabilities]:
    """What an advice says about a draw, and what came true."""
    arms, held_out = eligible(draw.tried[: draw.offered]), draw.fold_of != NEVER
    answers = answers_of(arms, draw.labels, held_out)
    groups = None if draw.groups is None else draw.groups[held_out]
    folds = int(draw.fold_of.max()) + 1
    found = expected_accuracy(answers, folds, groups, seed, float(held_out.double().mean()))
    new, winner = accuracies(draw), arms[answers.best]
    promise = Promise(*found, new[winner.card.name], false_claim(draw, new))
    return promise, probabilities(draw, winner, seed)


def probabilities(draw: Draw, winner: TriedArm, seed: int) -> Probabilities:
    """Of new images, as `likewise.predict` has them."""
    temperature = fit_temperature(winner.logits, draw.labels)
    known = winner.measured
    confidence, answer = confidences(winner.logits[known], temperature)
    threshold = choose_threshold(confidence, answer == draw.labels[known], PRECISE)
    new = draw.new[winner.card.name].float()
    confidence, answer = confidences(new, temperature)
    right = answer == draw.truth
    over = float((confidence - right.double()).mean())
    at_best, _ = confidences(new, fit_temperature(new, draw.truth))
    sure = confidence >= threshold.value
    chance = torch.rand(len(right), generator=generator(seed, "floor"), dtype=torch.float64)
    error, floor = (calibration(confidence, each).error for each in (right, chance < confidence))
    least = calibration(at_best, right).error
    sure_and_right = int(right[sure].sum())
    return Probabilities(over, error, least, floor, int(sure.sum()), sure_and_right, len(right))


def false_claim(draw: Draw, new: Mapping[str, float]) -> bool:
    """Whether an advice says that images without a label helped, and they did not on new images."""
    gains = gains_of(draw.tried[: draw.offered], draw.labels, draw.groups)
    gain = next(each for each in gains if each.of == UNLABELLED_IMAGES)
    claimed = gain.low is not None and gain.low > 0
    return claimed and new[gain.first] <= new[gain.second]


def row(found: list[Promise]) -> list[str]:
    """The figures of some draws, as `COLUMNS` name them."""
    table = torch.tensor([list(map(float, each)) for each in found], dtype=torch.float64)
    expected, low, high, true, false = table.T
    inside = (low <= true) & (true <= high)
    return [
        f"{expected.mean():.1%}",
        f"{true.mean():.1%}",
        f"{inside.sum()} of {len(found)}",
        str(int((true < low).sum())),
        str(int((true > high).sum())),
        f"{100 * (high - low).mean():.1f}",
        f"{false.mean():.0%}",
    ]


def probability_row(found: list[Probabilities]) -> list[str]:
    """The figures of some draws, as `PROBABILITY_COLUMNS` name them."""
    sure, correct = sum(each.sure for each in found), sum(each.correct for each in found)
    return [
        f"{100 * fmean(each.over for each in found):+.1f}",
        f"{fmean(each.error for each in found):.3f}",
        f"{fmean(each.least for each in found):.3f}",
        f"{fmean(each.floor for each in found):.3f}",
        f"{sure / sum(each.images for each in found):.0%}",
        f"{correct / sure:.1%}" if sure else "-",
        f"{sum(each.kept for each in found)} of {len(found)}",
    ]


def claim(found: list[Promise]) -> Claim:
    """What the interval says of itself, with the binomial interval of what was counted."""
    inside = sum(each.low <= each.true <= each.high for each in found)
    share, low, high = wilson(inside / len(found), len(found))
    note = f"{inside} of {len(found)} draws; binomial interval {low:.3f} to {high:.3f}"
    words = "the accuracy lies within its 95% interval in 90% of all draws or more"
    return Claim(words, 0.9, share, note=note)


def main(settings: StoredDraws) -> None:
    promises, shown = Table(ARMS, COLUMNS), Table(PROBABILITIES, PROBABILITY_COLUMNS)
    everything = []
    for labels in settings.labels:
        for name in settings.sets:
            draws = stored(settings.draws, name, labels)
            found = [judged(draw, seed) for seed, draw in enumerate(draws)]
            if found:
                made, probable = map(list, zip(*found, strict=True))
                promises.rows.append([name, str(labels), *row(made)])
                shown.rows.append([name, str(labels), *probability_row(probable)])
                everything += made
    keep("advise_coverage", TITLE, [promises, shown], [claim(everything)], exponent=EXPONENT)


if __name__ == "__main__":
    main(tyro.cli(StoredDraws))
