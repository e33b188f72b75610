"""Draws of labels, on each of which every frozen arm of ``likewise advise`` is cross-validated and then checked.

python benchmarks/advise_draws.py --sets folder/*.npz --into draws --labels 20 50 --draws 40

Each draw hides all labels but some random ones and cross-validates the arms of `likewise.advice` on frozen lite0
features within them, as an advice does. Each arm is then fitted to all of these labels and predicts images that played
no part. Both answers are kept in a file for each draw, so that `advise_choice.py` compares rules for the choice and
`advise_coverage.py` checks promises in seconds. Draws that have a file are not made again.

Fashion-MNIST comes with Debian's package dataset-fashion-mnist; ``--sets`` names other sets, each a file of NumPy's
with the arrays ``x`` (images, uint8), ``y`` (classes) and ``g`` (which images belong together). There whole groups are
drawn, and new images are of other groups.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from likewise.advice.arm import Trained
from likewise.advice.candidates import Cost, pretrained_settings, several_stages, starting_point
from likewise.advice.clock import Clock
from likewise.advice.cross_validation import CrossValidation, TriedArm
from likewise.advice.features import cached_features
from likewise.advice.folds import NEVER, fold_count, stratified_folds
from likewise.advice.frozen import FrozenArm, FrozenEncoder, MeanArm, frozen_arms
from likewise.advice.opened_data import open_labelled
from likewise.advice.weighted_mean import weighted_mean
from likewise.data.batch import UNLABELLED
from likewise.randomness import generator

SIZE = 128
"""pixels along a side"""

FEWEST_NEW = 200
"""new images on which a draw is checked"""


@dataclass(frozen=True)
class Settings:
    """What is drawn."""

    sets: tuple[Path, ...] = ()
    """files of labelled images"""
    fashion: bool = False
    """whether Fashion-MNIST is a set too"""
    into: Path = Path("draws")
    """folder for the draws"""
    labels: tuple[int, ...] = (20, 50, 100, 200, 500)
    """in a draw, of all classes"""
    draws: int = 20
    """of the labels, for each number of them"""
    images: int = 1500
    """images of a set that are encoded"""
    unlabelled: int = 300
    """images without a label in each draw"""
    minutes: float = 60.0
    """after which no draw begins"""


@dataclass(frozen=True)
class StoredDraws:
    """Which draws the other scripts read."""

    draws: Path = Path("draws")
    """folder that was filled here"""
    sets: tuple[str, ...] = (
        "cars",
        "deer",
        "digits",
        "imagenette",
        "outdoors",
        "shoes",
        "vehicles",
    )
    """names of sets"""
    labels: tuple[int, ...] = (20, 50, 100, 200, 500)
    """in a draw"""


class Draw(NamedTuple):
    """The arms of one advice within some labels, and their answers for new images."""

    tried: list[TriedArm]
    """cross-validated: the arms of the advice, then each head by itself"""
    offered: int
    """how many of them are arms of the advice"""
    new: dict[str, Tensor]
    """logits float16 [M, K] of each arm fitted to all labels, for new images"""
    labels: Tensor
    """int64 [L], those that were shown"""
    truth: Tensor
    """int64 [M], of the new images"""
    fold_of: Tensor
    """int64 [L], the fold in which each was held out"""
    groups: Tensor | None
    """int64 [L], which labelled images belong together; None where each is by itself"""


class Features(NamedTuple):
    """A set, encoded."""

    vectors: Tensor
    """float32 [N, D], of several stages"""
    last: int
    """columns of the last stage"""
    labels: Tensor
    groups: Tensor
    """int64 [N], which images belong together"""


def data_of(settings: Settings) -> Iterator[tuple[str, object, Tensor | None]]:
    """Every set: its name, its images with labels, and its groups."""
    if settings.fashion:
        yield "fashion-mnist", "fashion-mnist", None
    for path in settings.sets:
        arrays = np.load(path)
        yield path.stem, (arrays["x"], arrays["y"]), torch.from_numpy(arrays["g"]).long()


def encoded(data: object, groups: Tensor | None, count: int) -> Features:
    """Features of so many images of a set by lite0, with their labels and groups."""
    opened = open_labelled(data)
    order = torch.randperm(len(opened.labels), generator=generator(0, "images"))
    rows = order[:count].sort().values
    some = opened.take(rows)
    settings = pretrained_settings(some, "lite0", SIZE)
    start = starting_point(some.images(SIZE), settings, Cost(0.0, 0.0), seed=0)
    encoder, settings = several_stages(start)
    vectors = cached_features(encoder, settings, start.images)
    own_groups = torch.arange(len(rows)) if groups is None else groups[rows]
    return Features(vectors, start.encoder.width, some.labels, own_groups)


def draw(features: Features, labelled: int, unlabelled: int, seed: int) -> Draw | None:
    """Every arm on so many labels, of random images or of the images of random groups.

    None where the labels are of one class or nothing can be held out: then nothing is promised.
    """
    groups = features.groups.unique()
    order = groups[torch.randperm(len(groups), generator=generator(seed, "draw", labelled))]
    place = torch.zeros(int(order.max()) + 1, dtype=torch.int64)
    place[order] = torch.arange(len(order))
    rows = place[features.groups].argsort(stable=True)  # group after group
    shown, rest = rows[:labelled], rows[labelled:]
    rest = rest[~torch.isin(features.groups[rest], features.groups[shown])]
    present = features.labels[shown].unique()
    new = rest[unlabelled:]
    new = new[torch.isin(features.labels[new], present)]
    if len(present) < 2 or len(new) < FEWEST_NEW:
        return None
    return cross_validated(features, shown, rest[:unlabelled], new, seed)


def cross_validated(
    features: Features, shown: Tensor, hidden: Tensor, new: Tensor, seed: int
) -> Draw | None:
    """Every arm on the images ``shown`` with their labels and ``hidden`` without, checked on ``new`` ones."""
    present, labels = features.labels[shown].unique(return_inverse=True)
    truth = torch.searchsorted(present, features.labels[new])
    own_groups = features.groups[shown]
    groups = own_groups if len(own_groups.unique()) < len(shown) else None
    fold_of = stratified_folds(labels, groups, fold_count(labels), seed)
    if bool((fold_of == NEVER).all()):
        return None
    visible = torch.cat([labels, torch.full((len(hidden),), UNLABELLED)])
    vectors = features.vectors[torch.cat([shown, hidden])]
    nothing = nn.Identity()
    frozen = FrozenEncoder("lite0", "pretrained", nothing, None, vectors, features.last)  # type: ignore[arg-type]
    cross_validation = CrossValidation(visible, fold_of, len(present), Clock(1e9), 0.0)
    offered = list(frozen_arms(frozen, len(present), len(hidden)))
    tried = cross_validation.try_all_folds(offered)
    mean = weighted_mean(offered, tried, visible, groups)
    offered += [mean] if mean is not None else []
    arms = [*offered, *single_heads(offered)]
    cross_validation.try_all_folds(arms[len(tried) :])
    answers = {arm.card.name: answers_for(arm, visible, features.vectors[new]) for arm in arms}
    return Draw(cross_validation.tried, len(offered), answers, labels, truth, fold_of, groups)


def single_heads(arms: Sequence[FrozenArm]) -> list[FrozenArm]:
    """Each head that the arms average, by itself with logits of unit deviation: any mean can be made of these."""
    heads: dict[str, FrozenArm] = {}
    for arm in arms:
        if isinstance(arm, MeanArm):
            heads |= {head.card.name: head for head in arm.arms}
    return [
        MeanArm(replace(head.card, name=f"{name}, alone"), head.frozen, [head], head.classes)
        for name, head in heads.items()
    ]


@torch.no_grad()
def answers_for(arm: FrozenArm, visible: Tensor, vectors: Tensor) -> Tensor:
    """Logits [M, K] of an arm fitted to all labels, for new images with features [M, D]."""
    trained = arm.fit(visible, torch.zeros(0, dtype=torch.int64), 1e9)
    assert isinstance(trained, Trained)
    return trained.head(vectors).half()


def stored(folder: Path, name: str, labels: int) -> list[Draw]:
    """The draws of so many labels of a set that are in a folder."""
    paths = sorted(folder.glob(f"{name}-{labels}-*.pt"))
    loaded = [torch.load(path, weights_only=False) for path in paths]
    return [Draw(*each) for each in loaded if each]


def accuracies(draw: Draw) -> dict[str, float]:
    """Of every arm on new images."""
    return {
        name: float((logits.argmax(dim=1) == draw.truth).double().mean())
        for name, logits in draw.new.items()
    }


def main(settings: Settings) -> None:
    settings.into.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * settings.minutes
    sets = {
        name: encoded(data, groups, settings.images) for name, data, groups in data_of(settings)
    }
    for seed in range(settings.draws):
        for labels in settings.labels:
            for name, features in sets.items():
                path = settings.into / f"{name}-{labels}-{seed}.pt"
                room = labels + settings.unlabelled + FEWEST_NEW <= len(features.labels)
                if room and not path.exists() and time.monotonic() < end:
                    began = time.monotonic()
                    found = draw(features, labels, settings.unlabelled, seed)
                    torch.save(tuple(found or ()), path)
                    print(f"{path.stem}: {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Settings))
