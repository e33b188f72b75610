"""What ``likewise advise`` promises, chooses and claims where arms train the encoder, against every arm run to its end.

python benchmarks/advise_trained.py --sets folder/*.npz --into trained --labels 50 100 --minutes 60
python benchmarks/advise_trained.py --into trained

The first command makes draws. Each shows some random labels and some images without one, and runs the programme of an
advice on them for a fixed time: frozen arms, the last stages on cached views, LoRA, the whole network in two ways,
labels from scratch, ensemble pseudo-labels, with its own successive halving. Then every one of these arms is fitted to
all labels with all its steps, also those that the time cut off, and predicts hundreds of new images. FixMatch, CoMatch
and SuNCEt are left out there: one fit takes longer than the whole advice. The second command compares what an advice
says with what came true. Draws that have a file are not made again.

Images are 64 pixels a side and the time is that of one processor, so that a draw takes some minutes and a busy machine
changes nothing. A set is a file of NumPy's with the arrays ``x``, ``y`` and ``g``, as for `advise_draws.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import tyro
from advise_draws import FEWEST_NEW, Draw
from torch import Tensor

from likewise.advice import candidates
from likewise.advice.arm import AdviceArm, Trained
from likewise.advice.candidates import cost_of, pretrained_settings, starting_point
from likewise.advice.clock import Clock
from likewise.advice.cross_validation import CrossValidation
from likewise.advice.folds import NEVER, fold_count, stratified_folds
from likewise.advice.method_arms import EnsembleArm, MethodArm
from likewise.advice.opened_data import LabelledData, open_labelled
from likewise.advice.programme import Programme
from likewise.data.batch import UNLABELLED
from likewise.evaluation.features import extract
from likewise.randomness import generator
from likewise.views.centre_view import CentreView

SIZE = 64
"""pixels along a side"""

MOST_NEW = 600
"""new images on which a draw is checked, at most"""

RESERVE = 5.0
"""seconds of an advice that are left for its files"""

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Settings:
    """What is drawn."""

    sets: tuple[Path, ...] = ()
    """files of labelled images; without them the draws that are there are read"""
    into: Path = Path("trained")
    """folder for the draws"""
    labels: tuple[int, ...] = (50, 100)
    """in a draw, of all classes"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """of the labels, for each number of them"""
    unlabelled: int = 200
    """images without a label in each draw"""
    time: float = 60.0
    """seconds of one processor for an advice"""
    ensemble_seeds: tuple[int, ...] = (0, 2)
    """of draws in which ensemble pseudo-labels are run to the end too, which takes as long as all other arms"""
    minutes: float = 60.0
    """after which no draw begins"""


class Shown(NamedTuple):
    """What one advice sees, and what it is checked on."""

    data: LabelledData
    new: LabelledData


def shown_of(path: Path, labelled: int, unlabelled: int, seed: int) -> Shown | None:
    """So many labels of random images, or of the images of random groups; None where too few new images are left."""
    arrays = np.load(path)
    images, labels = arrays["x"], torch.from_numpy(arrays["y"]).long()
    group_of = torch.from_numpy(arrays["g"]).long().unique(return_inverse=True)[1]
    place = torch.randperm(int(group_of.max()) + 1, generator=generator(seed, "draw", labelled))
    rows = place[group_of].argsort(stable=True)  # group after group
    own, rest = rows[:labelled], rows[labelled:]
    rest = rest[~torch.isin(group_of[rest], group_of[own])]
    rest = rest[torch.randperm(len(rest), generator=generator(seed, "rest", labelled))]
    present, known = labels[own].unique(return_inverse=True)
    hidden, new = rest[:unlabelled], rest[unlabelled:]
    new = new[torch.isin(labels[new], present)][:MOST_NEW]
    if len(present) < 2 or len(new) < FEWEST_NEW:
        return None
    visible = torch.cat([known, torch.full((len(hidden),), UNLABELLED)])
    data = open_labelled((images[torch.cat([own, hidden]).numpy()], visible.numpy()))
    groups = group_of[torch.cat([own, hidden])]
    data = replace(data, groups=groups if len(groups.unique()) < len(groups) else None)
    truth = torch.searchsorted(present, labels[new])
    return Shown(data, open_labelled((images[new.numpy()], truth.numpy())))


def draw(shown: Shown, seconds: float, seed: int, ensemble: bool) -> Draw | None:
    """An advice within the time, then every arm to its end; None where nothing can be held out."""
    data, clock = shown.data, Clock(seconds, time.process_time)
    truth = data.labels[data.labelled]
    groups = None if data.groups is None else data.groups[data.labelled]
    fold_of = stratified_folds(truth, groups, fold_count(truth), seed)
    if bool((fold_of == NEVER).all()):
        return None
    settings = pretrained_settings(data, "lite0", SIZE)
    cost = cost_of(data, settings, CPU)
    start = starting_point(data.images(SIZE), settings, cost, seed)
    validated = CrossValidation(data.labels, fold_of, data.classes, clock, RESERVE)
    Programme(data, validated, start, CPU, seed, lambda: None, lambda line: None).run()
    said = [replace(each, logits=each.logits.clone()) for each in validated.tried]
    new = NewImages(shown.new)
    answers = {}
    for each in validated.tried:
        arm = validated.arm(each)
        if not isinstance(arm, MethodArm if ensemble else (MethodArm, EnsembleArm)):
            answers[each.card.name] = new.answers(arm, data.labels)
    return Draw(said, len(said), answers, truth, shown.new.labels, fold_of, groups)


class NewImages:
    """M images that played no part, for which an encoder that several arms share computes features once."""

    def __init__(self, data: LabelledData) -> None:
        self.data = data
        self.features: dict[int, Tensor] = {}

    @torch.no_grad()
    def answers(self, arm: AdviceArm, labels: Tensor) -> Tensor:
        """Logits float16 [M, K] of an arm that is fitted to all labels with all its steps."""
        trained = arm.fit(labels, torch.zeros(0, dtype=torch.int64), 1e9)
        assert trained is not None
        if arm.card.trains_encoder:
            return trained.head(self._features_of(trained)).half()
        key = id(trained.encoder)
        if key not in self.features:
            self.features[key] = self._features_of(trained)
        return trained.head(self.features[key]).half()

    def _features_of(self, trained: Trained) -> Tensor:
        size = trained.settings.image_size
        images = self.data.images(size)
        return extract(trained.encoder, images, torch.arange(len(images)), CentreView(size))


def wanted(settings: Settings) -> Iterator[tuple[Path, int, int, Path]]:
    """Every draw that is not there yet: set, labels, seed, file."""
    for seed in settings.seeds:
        for labels in settings.labels:
            for path in settings.sets:
                into = settings.into / f"{path.stem}-{labels}-{seed}.pt"
                if not into.exists():
                    yield path, labels, seed, into


def make(settings: Settings) -> None:
    """Draws, as many as begin within the time."""
    time.perf_counter = time.process_time  # fits are timed and cut off by what they compute
    candidates.PRETRAINED_SIZES = (SIZE,)  # type: ignore[assignment]  # no second, larger size
    settings.into.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * settings.minutes
    for path, labels, seed, into in wanted(settings):
        if time.monotonic() > end:
            return
        began = time.process_time()
        shown = shown_of(path, labels, settings.unlabelled, seed)
        ensemble = seed in settings.ensemble_seeds
        found = draw(shown, settings.time, seed, ensemble) if shown is not None else None
        torch.save(tuple(found or ()), into)
        print(f"{into.stem}: {time.process_time() - began:.0f} s", flush=True)


def main(settings: Settings) -> None:
    make(settings)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(Settings))
