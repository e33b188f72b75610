"""Does ``likewise advise`` promise what its classifier keeps? Many draws of labels, each with thousands of new images.

python benchmarks/advise_coverage.py --sets folder/*.npz --minutes 20

Each draw hides all labels but some random ones, lets `likewise.advice` choose among its arms on frozen lite0
features by cross-validation within them, and compares the promise with the accuracy on images that played no part.
Fashion-MNIST comes with Debian's package dataset-fashion-mnist; ``--sets`` names other sets, each a file of NumPy's
with the arrays ``x`` (images, uint8), ``y`` (classes) and ``g`` (which images belong together). There whole groups are
drawn, and new images are of other groups.
Imagenette's images are among those that lite0 was trained on: a promise about them can be checked, a gain cannot.
The time is divided over sets and numbers of labels, and each draws as often as its share allows.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from measuring import Claim, Table, keep
from torch import Tensor, nn

from likewise.advice.arm import Trained
from likewise.advice.candidates import Cost, pretrained_settings, several_stages, starting_point
from likewise.advice.clock import Clock
from likewise.advice.cross_validation import CrossValidation, TriedArm, answers_of
from likewise.advice.expected import EXPONENT, choose, expected_accuracy
from likewise.advice.features import cached_features
from likewise.advice.folds import NEVER, fold_count, stratified_folds
from likewise.advice.frozen import FrozenEncoder, frozen_arms
from likewise.advice.opened_data import open_labelled
from likewise.advice.winner import eligible
from likewise.advice.worth import UNLABELLED_IMAGES, gains_of
from likewise.data.batch import UNLABELLED
from likewise.evaluation.statistics.confidence import wilson
from likewise.randomness import generator

TITLE = "Does advise promise what its classifier keeps?"
SIZE = 128
"""pixels along a side"""

FEWEST_DRAWS = 2
"""of the labels, however short the time"""

FEWEST_NEW = 200
"""new images on which a promise is checked"""

ARMS = "Arms on lite0's frozen features"
COLUMNS = (
    "data", "labels", "promised", "came true", "within the 95% interval", "width of the interval, points",
    "behind the best arm, points", "more than a point behind", "behind if chosen by accuracy, points",
    "false claims about unlabelled images",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is drawn."""

    sets: tuple[Path, ...] = ()
    """files of labelled images, besides Fashion-MNIST"""
    labels: tuple[int, ...] = (20, 50, 100, 200)
    """in a draw, of all classes"""
    draws: int = 20
    """of the labels at most, for each number of them"""
    images: int = 1500
    """images of a set that are encoded"""
    minutes: float = 18.0
    """for all draws together; encoding takes about half a minute of a core for each set besides"""
    fashion: bool = True
    """whether Fashion-MNIST is a set too"""
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
    """float32 [N, D], of several stages"""
    last: int
    """columns of the last stage"""
    labels: Tensor
    classes: int
    groups: Tensor
    """int64 [N], which images belong together"""


def encoded(data: object, groups: Tensor | None, count: int) -> Features:
    """Features of so many images of a set by lite0, with their labels and groups."""
    opened = open_labelled(data)
    rows = (
        torch.randperm(len(opened.labels), generator=generator(0, "images"))[:count].sort().values
    )
    some = opened.take(rows)
    settings = pretrained_settings(some, "lite0", SIZE)
    start = starting_point(some, settings, Cost(0.0, 0.0), seed=0)
    encoder, settings = several_stages(start)
    vectors = cached_features(encoder, settings, start.images)
    own_groups = torch.arange(len(rows)) if groups is None else groups[rows]
    return Features(vectors, start.encoder.width, some.labels, opened.classes, own_groups)


def draws(features: Features, labels: int, settings: Settings, until: float) -> Iterator[Draw]:
    """Advices about so many labels, of random images or of the images of random groups, until a time."""
    for seed in range(settings.draws):
        if seed >= FEWEST_DRAWS and time.monotonic() > until:
            return
        drawn = features.groups.unique()
        order = drawn[torch.randperm(len(drawn), generator=generator(seed, "draw"))]
        place = torch.zeros(int(order.max()) + 1, dtype=torch.int64)
        place[order] = torch.arange(len(order))
        rows = place[features.groups].argsort(stable=True)  # group after group
        labelled = rows[:labels]
        others = rows[labels:][
            ~torch.isin(features.groups[rows[labels:]], features.groups[labelled])
        ]
        if len(features.labels[labelled].unique()) > 1:
            seen = torch.cat([labelled, others[: settings.unlabelled]])
            found = one_draw(features, seen, labels, others[settings.unlabelled :], seed)
            if found is not None:
                yield found


def one_draw(
    features: Features, seen: Tensor, labelled: int, new: Tensor, seed: int
) -> Draw | None:
    """One advice about the images in ``seen``, the first of them labelled, checked on ``new`` ones of known classes.

    None where no image can be held out, and nothing is promised.
    """
    present, truth = features.labels[seen[:labelled]].unique(return_inverse=True)
    new = new[torch.isin(features.labels[new], present)]
    labels = torch.cat([truth, torch.full((len(seen) - labelled,), UNLABELLED)])
    own_groups = features.groups[seen[:labelled]]
    groups = own_groups if len(own_groups.unique()) < labelled else None
    folds = fold_count(truth)
    fold_of = stratified_folds(truth, groups, folds, seed)
    held_out = fold_of != NEVER
    if not bool(held_out.any()):
        return None
    cross_validation = CrossValidation(labels, fold_of, len(present), Clock(1e9), 0.0)
    nothing = nn.Identity()
    vectors = features.vectors[seen]
    frozen = FrozenEncoder("lite0", "pretrained", nothing, None, vectors, features.last)  # type: ignore[arg-type]
    cross_validation.try_all_folds(frozen_arms(frozen, len(present), len(seen) - labelled))
    arms = eligible(cross_validation.tried)
    answers = answers_of(arms, truth, held_out)
    known = torch.searchsorted(present, features.labels[new])
    new_shares = [
        accuracy_on(cross_validation, arm, labels, features.vectors[new], known) for arm in arms
    ]
    gain = next(
        each
        for each in gains_of(cross_validation.tried, truth, groups)
        if each.of == UNLABELLED_IMAGES
    )
    shares = {arm.card.name: share for arm, share in zip(arms, new_shares, strict=True)}
    helped = shares.get(gain.first, 0.0) - shares.get(gain.second, 1.0)
    own = None if groups is None else groups[held_out]
    found = expected_accuracy(
        answers, cross_validation.folds, own, seed, float(held_out.double().mean())
    )
    naive = float(answers.correct[:, answers.best].double().mean())
    by_accuracy = int(choose(answers.correct.double().mean(dim=0)))
    claimed = bool(gain.low is not None and gain.low > 0)
    best, winner = max(new_shares), new_shares[answers.best]
    return Draw(*found, naive, winner, best, new_shares[by_accuracy], claimed, helped)


def accuracy_on(
    cross_validation: CrossValidation, arm: TriedArm, labels: Tensor, vectors: Tensor, known: Tensor
) -> float:
    """The accuracy of an arm fitted to all labels on new images, float [M, D], of classes int64 [M]."""
    trained = cross_validation.arm(arm).fit(labels, torch.zeros(0, dtype=torch.int64), 1e9)
    assert isinstance(trained, Trained)
    with torch.no_grad():
        answers = trained.head(vectors).argmax(dim=1)
    return float((answers == known).double().mean())


def summary(found: list[Draw]) -> dict[str, float]:
    """The figures of all draws."""
    table = torch.tensor([list(map(float, each)) for each in found], dtype=torch.float64)
    expected, low, high, naive, true, best, by_accuracy, claimed, helped = table.T
    return {
        "draws": len(found),
        "true": float(true.mean()),
        "expected": float(expected.mean()),
        "naive": float(naive.mean()),
        "inside": int(((low <= true) & (true <= high)).sum()),
        "width": float((high - low).mean()),
        "behind_the_best": float((best - true).mean()),
        "more_than_a_point_behind": float(((best - true) > 0.01).double().mean()),
        "behind_if_chosen_by_accuracy": float((best - by_accuracy).mean()),
        "false_claims_about_unlabelled": float((claimed.bool() & (helped <= 0)).double().mean()),
    }


def row(name: str, labels: int, line: Mapping[str, float]) -> list[str]:
    """The figures of so many labels, as `COLUMNS` name them."""
    points = [line["width"], line["behind_the_best"], line["behind_if_chosen_by_accuracy"]]
    width, behind, by_accuracy = (f"{100 * value:.1f}" for value in points)
    return [
        name,
        str(labels),
        f"{line['expected']:.1%}",
        f"{line['true']:.1%}",
        f"{line['inside']:.0f} of {line['draws']:.0f}",
        width,
        behind,
        f"{line['more_than_a_point_behind']:.0%}",
        by_accuracy,
        f"{line['false_claims_about_unlabelled']:.0%}",
    ]


def claim(inside: int, draws: int) -> Claim:
    """What the interval says of itself, with the binomial interval of what was counted."""
    share, low, high = wilson(inside / draws, draws)
    note = f"{inside} of {draws} draws; binomial interval {low:.3f} to {high:.3f}"
    return Claim(
        "the accuracy lies within its 95% interval in 90% of all draws or more",
        0.9,
        share,
        note=note,
    )


def data_of(settings: Settings) -> Iterator[tuple[str, object, Tensor | None]]:
    """Every set: its name, its images with labels, and its groups."""
    if settings.fashion:
        yield "Fashion-MNIST", "fashion-mnist", None
    for path in settings.sets:
        arrays = np.load(path)
        yield path.stem, (arrays["x"], arrays["y"]), torch.from_numpy(arrays["g"]).long()


def main(settings: Settings) -> None:
    table, inside, count = Table(ARMS, COLUMNS), 0, 0
    sets = {
        name: encoded(data, groups, settings.images) for name, data, groups in data_of(settings)
    }
    end = time.monotonic() + 60 * settings.minutes
    cells = list(itertools.product(sorted(settings.labels), sets))
    for done, (labels, name) in enumerate(cells):
        features, now = sets[name], time.monotonic()
        if labels + settings.unlabelled + FEWEST_NEW <= len(features.labels):
            drawn = list(draws(features, labels, settings, now + (end - now) / (len(cells) - done)))
            if not drawn:
                continue
            line = summary(drawn)
            table.rows.append(row(name, labels, line))
            inside, count = inside + int(line["inside"]), count + int(line["draws"])
            print(name, labels, {key: round(value, 3) for key, value in line.items()}, flush=True)
    keep(
        "advise_coverage", TITLE, [table], [claim(inside, count)], draws=settings.draws, images=settings.images,
        unlabelled=settings.unlabelled, exponent=EXPONENT,
    )  # fmt: skip


if __name__ == "__main__":
    main(tyro.cli(Settings))
