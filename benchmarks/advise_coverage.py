"""Does ``likewise advise`` promise what its classifier keeps? Many draws of labels, each with thousands of new images.

python benchmarks/advise_coverage.py --photographs cifar10-train.parquet

Each draw hides all labels but a few of each class, lets `likewise.advice` choose among its arms on frozen lite0
features by cross-validation within them, and compares the promise with the accuracy on images that played no part.
Fashion-MNIST comes with Debian's package dataset-fashion-mnist; ``--photographs`` names a Parquet file of another set.
Imagenette would prove nothing: its images are among those that lite0 was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import tyro
from measuring import Claim, Table, keep
from torch import Tensor, nn

from likewise.advice.arm import Trained
from likewise.advice.candidates import pretrained_settings
from likewise.advice.clock import Clock
from likewise.advice.cross_validation import CrossValidation, TriedArm, answers_of
from likewise.advice.expected import EXPONENT, choose, expected_accuracy
from likewise.advice.features import cached_features
from likewise.advice.folds import fold_count, stratified_folds
from likewise.advice.frozen import FrozenEncoder, frozen_arms
from likewise.advice.opened_data import open_labelled
from likewise.advice.winner import eligible
from likewise.advice.worth import UNLABELLED_IMAGES, gains_of
from likewise.encoders import build_encoder
from likewise.randomness import generator

TITLE = "Does advise promise what its classifier keeps?"
ARMS = "Arms on lite0's frozen features"
COLUMNS = (
    "data", "labels a class", "promised", "came true", "within the 95% interval", "width of the interval, points",
    "behind the best arm, points", "more than a point behind", "behind if chosen by accuracy, points",
    "false claims about unlabelled images",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is drawn."""

    photographs: Path | None = None
    """Parquet file of labelled photographs, besides Fashion-MNIST"""
    per_class: tuple[int, ...] = (2, 4, 10, 50)
    """labels of each class"""
    draws: int = 40
    """of the labels, for each number of them"""
    images: int = 6000
    """images of a set that are encoded"""
    unlabelled: int = 300
    """images without a label in each draw"""


class Draw(NamedTuple):
    """One advice, and what came true."""

    expected: float
    low: float
    high: float
    naive: float
    """accuracy of the winner in cross-validation, as it is"""
    true: float
    """of the winner fitted to all labels, on new images"""
    best: float
    """of the arm that is best on new images"""
    by_accuracy: float
    """of the arm that would be chosen by accuracy"""
    claimed: bool
    """whether it says that images without a label helped"""
    helped: float
    """how much they did, on new images"""


class Features(NamedTuple):
    """A set, encoded."""

    vectors: Tensor
    labels: Tensor
    classes: int


def encoded(data: object, count: int) -> Features:
    """Features of so many images of a set by lite0, and their labels."""
    opened = open_labelled(data)
    rows = torch.randperm(len(opened.labels), generator=generator(0, "images"))[:count].sort().values
    some = opened.take(rows)
    settings = pretrained_settings(some, "lite0", 128)
    vectors = cached_features(build_encoder(settings).eval(), settings, some.images(128))
    return Features(vectors, some.labels, opened.classes)


def draws(features: Features, per_class: int, settings: Settings) -> Iterator[Draw]:
    """Advices about so many labels of each class."""
    for seed in range(settings.draws):
        order = torch.randperm(len(features.labels), generator=generator(seed, "draw"))
        known = [order[features.labels[order] == label][:per_class] for label in range(features.classes)]
        labelled = torch.cat(known)
        others = order[~torch.isin(order, labelled)]
        seen = torch.cat([labelled, others[: settings.unlabelled]])
        yield one_draw(features, seen, len(labelled), others[settings.unlabelled :], seed)


def one_draw(features: Features, seen: Tensor, labelled: int, new: Tensor, seed: int) -> Draw:
    """One advice about the images in ``seen``, the first of them labelled, checked on ``new`` ones."""
    labels = features.labels[seen].clone()
    labels[labelled:] = -1
    truth = labels[:labelled]
    folds = fold_count(truth)
    cross_validation = CrossValidation(
        labels, stratified_folds(truth, None, folds, seed), features.classes, Clock(1e9), 0.0
    )
    nothing = nn.Identity()
    frozen = FrozenEncoder("lite0", "pretrained", nothing, None, features.vectors[seen])  # type: ignore[arg-type]
    cross_validation.try_all_folds(frozen_arms(frozen, features.classes, len(seen) - labelled))
    arms = eligible(cross_validation.tried)
    answers = answers_of(arms, truth, torch.ones(labelled, dtype=torch.bool))
    new_shares = [accuracy_on(cross_validation, arm, labels, features, new) for arm in arms]
    gain = next(each for each in gains_of(cross_validation.tried, truth, None) if each.of == UNLABELLED_IMAGES)
    shares = {arm.card.name: share for arm, share in zip(arms, new_shares, strict=True)}
    helped = shares.get(gain.first, 0.0) - shares.get(gain.second, 1.0)
    found = expected_accuracy(answers, folds, seed=seed)
    naive = float(answers.correct[:, answers.best].double().mean())
    by_accuracy = int(choose(answers.correct.double().mean(dim=0)))
    claimed = bool(gain.low is not None and gain.low > 0)
    best, winner = max(new_shares), new_shares[answers.best]
    return Draw(*found, naive, winner, best, new_shares[by_accuracy], claimed, helped)


def accuracy_on(
    cross_validation: CrossValidation, arm: TriedArm, labels: Tensor, features: Features, new: Tensor
) -> float:
    """The accuracy of an arm fitted to all labels on new images."""
    trained = cross_validation.arm(arm).fit(labels, torch.zeros(0, dtype=torch.int64), 1e9)
    assert isinstance(trained, Trained)
    with torch.no_grad():
        answers = trained.head(features.vectors[new]).argmax(dim=1)
    return float((answers == features.labels[new]).double().mean())


def summary(found: list[Draw], folds: int) -> dict[str, float]:
    """The figures of all draws."""
    table = torch.tensor([list(map(float, each)) for each in found], dtype=torch.float64)
    expected, low, high, naive, true, best, by_accuracy, claimed, helped = table.T
    seen = (folds - 1) / folds
    slope = torch.log((1 - naive.mean()) / (1 - true.mean())) / -torch.log(torch.tensor(seen))
    spread = (naive - true).var() / (true.mean() * (1 - true.mean()))
    return {
        "draws": len(found),
        "true": float(true.mean()),
        "expected": float(expected.mean()),
        "naive": float(naive.mean()),
        "covered": float(((low <= true) & (true <= high)).double().mean()),
        "width": float((high - low).mean()),
        "variance_over_independent": float(spread),
        "exponent_after_choice": float(slope),
        "behind_the_best": float((best - true).mean()),
        "more_than_a_point_behind": float(((best - true) > 0.01).double().mean()),
        "behind_if_chosen_by_accuracy": float((best - by_accuracy).mean()),
        "false_claims_about_unlabelled": float((claimed.bool() & (helped <= 0)).double().mean()),
    }


def row(name: str, per_class: int, line: Mapping[str, float]) -> list[str]:
    """The figures of so many labels of each class, as `COLUMNS` name them."""
    points = [line["width"], line["behind_the_best"], line["behind_if_chosen_by_accuracy"]]
    width, behind, by_accuracy = (f"{100 * value:.1f}" for value in points)
    return [
        name,
        str(per_class),
        f"{line['expected']:.1%}",
        f"{line['true']:.1%}",
        f"{line['covered']:.0%}",
        width,
        behind,
        f"{line['more_than_a_point_behind']:.0%}",
        by_accuracy,
        f"{line['false_claims_about_unlabelled']:.0%}",
    ]


def claim(covered: list[float]) -> Claim:
    """What the interval says of itself; every cell has as many draws."""
    return Claim("the accuracy lies within its 95% interval in 95% of all draws", 0.95, sum(covered) / len(covered))


def main(settings: Settings) -> None:
    sets: dict[str, object] = {"Fashion-MNIST": "fashion-mnist"}
    if settings.photographs is not None:
        sets["CIFAR-10 (JPEG)"] = settings.photographs
    table, covered = Table(ARMS, COLUMNS), []
    for name, data in sets.items():
        features = encoded(data, settings.images)
        for per_class in settings.per_class:
            found = list(draws(features, per_class, settings))
            labels = torch.arange(features.classes).repeat(per_class)
            line = summary(found, fold_count(labels))
            line["variance_over_independent"] *= per_class * features.classes
            table.rows.append(row(name, per_class, line))
            covered.append(line["covered"])
            print(name, per_class, {key: round(value, 3) for key, value in line.items()}, flush=True)
    keep(
        "advise_coverage", TITLE, [table], [claim(covered)], draws=settings.draws, images=settings.images,
        unlabelled=settings.unlabelled, exponent=EXPONENT,
    )  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Settings))
