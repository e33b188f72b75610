"""How much is lost by the choice among frozen arms? Several rules on the same draws of labels.

python benchmarks/advise_draws.py --sets folder/*.npz --into draws
python benchmarks/advise_choice.py --draws draws --labels 20 50

The first command makes the draws. The second compares rules for what an advice makes of its cross-validation. What a
rule loses is given twice: behind the arm that turns out best in each draw, which is partly the luckiest on the new
images and known to nobody; and behind the arm that is best on the average of a set's draws. Rules that learn from other
sets never see the set that they are judged on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

import torch
import tyro
from advise_draws import Draw, StoredDraws, accuracies, stored
from measuring import Table, keep
from torch import Tensor

from likewise.advice.cross_validation import answers_of
from likewise.advice.expected import choose
from likewise.advice.folds import NEVER
from likewise.advice.weighted_mean import WEIGHTED_MEAN

TITLE = "How much is lost by the choice among frozen arms?"
COLUMNS = (
    "rule", "labels", "right", "behind the best arm of each draw", "behind the best arm of each set", "worst set",
    "worst draw", "within a point of the best",
)  # fmt: skip


class Judged(NamedTuple):
    """A draw: what cross-validation says of A arms, and how often each is right on new images."""

    scores: Tensor
    """float64 [L, A], log probabilities of held-out labels, and the priors of the arms"""
    correct: Tensor
    """float64 [L, A]"""
    new: Tensor
    """float64 [A], accuracy on new images"""
    every: Tensor
    """float64 [B], of every frozen arm, also those that are compared alone"""
    mean: float
    """accuracy of the weighted mean on new images"""


Others = Sequence[Sequence[Judged]]
"""the draws of each other set"""


def judged(draw: Draw) -> Judged | None:
    """None where there is no weighted mean."""
    offered = draw.tried[: draw.offered]
    mean = next((each for each in offered if WEIGHTED_MEAN in each.card.name), None)
    if mean is None:
        return None
    arms = [each for each in offered if each.card.name in mean.card.averaged]
    answers = answers_of(arms, draw.labels, draw.fold_of != NEVER)
    shares = accuracies(draw)
    new = torch.tensor([shares[arm.card.name] for arm in arms], dtype=torch.float64)
    others = [shares[each.card.name] for each in offered if each is not mean]
    every = torch.tensor(others, dtype=torch.float64)
    return Judged(answers.scores, answers.correct.double(), new, every, shares[mean.card.name])


def by_log_probability(draw: Judged, others: Others) -> float:
    """The arm that gives held-out labels the highest probability."""
    return float(draw.new[choose(draw.scores.mean(dim=0))])


def by_accuracy(draw: Judged, others: Others) -> float:
    """The arm with the highest cross-validated accuracy."""
    return float(draw.new[choose(draw.correct.mean(dim=0))])


def best_elsewhere(draw: Judged, others: Others) -> float:
    """The arm that is best on the average of all other sets, whatever this set's labels say."""
    return float(draw.new[_best_elsewhere(others)])


def unless_surely_better(draw: Judged, others: Others) -> float:
    """That arm, unless the one of highest probability is ahead of it by more than a standard error."""
    usual, best = _best_elsewhere(others), int(choose(draw.scores.mean(dim=0)))
    ahead = draw.scores[:, best] - draw.scores[:, usual]
    error = ahead.std() / len(ahead) ** 0.5
    return float(draw.new[best if ahead.mean() > error else usual])


def weighted(draw: Judged, others: Others) -> float:
    """What an advice does."""
    return draw.mean


def _best_elsewhere(others: Others) -> int:
    means = [torch.stack([draw.new for draw in draws]).mean(dim=0) for draws in others]
    return int(torch.stack(means).mean(dim=0).argmax())


RULES: dict[str, Callable[[Judged, Others], float]] = {
    "highest accuracy": by_accuracy,
    "highest probability": by_log_probability,
    "best on other sets": best_elsewhere,
    "best on other sets, unless another is a standard error ahead": unless_surely_better,
    "weighted mean": weighted,
}


def row(name: str, labels: int, sets: dict[str, list[Judged]]) -> list[str]:
    """What a rule loses with so many labels, as `COLUMNS` name it."""
    right, behind, behind_fixed, worst, close = [], [], [], [], []
    for own, draws in sets.items():
        others = [theirs for other, theirs in sets.items() if other != own]
        reached = torch.tensor([RULES[name](draw, others) for draw in draws])
        new = torch.stack([draw.every for draw in draws])  # [D, B]
        lost = new.max(dim=1).values - reached
        behind.append(float(lost.mean()))
        behind_fixed.append(float(new.mean(dim=0).max() - reached.mean()))
        right.append(float(reached.mean()))
        worst.append(float(lost.max()))
        close.append(float((lost <= 0.01).double().mean()))
    figures = [fmean(behind), fmean(behind_fixed), max(behind), max(worst)]
    points = [f"{100 * each:.2f}" for each in figures]
    return [name, str(labels), f"{fmean(right):.1%}", *points, f"{fmean(close):.0%}"]


def main(settings: StoredDraws) -> None:
    table = Table("Points of accuracy, means over sets", COLUMNS)
    for labels in settings.labels:
        found = {
            name: [each for each in map(judged, stored(settings.draws, name, labels)) if each]
            for name in settings.sets
        }
        sets = {name: draws for name, draws in found.items() if draws}
        if len(sets) < 2:
            continue
        table.rows += [row(rule, labels, sets) for rule in RULES]
        counts = ", ".join(f"{name} {len(draws)}" for name, draws in sets.items())
        table.notes.append(f"draws of {labels} labels: {counts}")
    keep("advise_choice", TITLE, [table])


if __name__ == "__main__":
    main(tyro.cli(StoredDraws))
