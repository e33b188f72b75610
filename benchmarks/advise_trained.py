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
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch
import tyro
from advise_coverage import Promise, judged
from advise_draws import FEWEST_NEW, Draw, accuracies
from measuring import Claim, Table, keep
from torch import Tensor

from likewise.advice import candidates
from likewise.advice.arm import AdviceArm, Trained
from likewise.advice.candidates import cost_of, pretrained_settings, starting_point
from likewise.advice.clock import Clock
from likewise.advice.cross_validation import CrossValidation, answers_of
from likewise.advice.folds import NEVER, fold_count, stratified_folds
from likewise.advice.method_arms import EnsembleArm, MethodArm
from likewise.advice.opened_data import LabelledData, open_labelled
from likewise.advice.programme import Programme
from likewise.advice.weighted_mean import WEIGHTED_MEAN
from likewise.advice.winner import eligible
from likewise.advice.worth import gains_of
from likewise.data.batch import UNLABELLED
from likewise.evaluation.features import extract
from likewise.evaluation.statistics.confidence import wilson
from likewise.randomness import generator
from likewise.views.centre_view import CentreView

SIZE = 64
"""pixels along a side"""

MOST_NEW = 600
"""new images on which a draw is checked, at most"""

RESERVE = 5.0
"""seconds of an advice that are left for its files"""

TITLE = "Does advise choose, promise and claim rightly where arms train the encoder?"
DRAWS = (
    "data", "labels", "winner", "promised", "came true", "within the interval", "best arm", "points behind it",
)  # fmt: skip
ARMS = ("arm", "draws", "right on new images", "points over the winner", "draws won")

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

    def answers(self, arm: AdviceArm, labels: Tensor) -> Tensor:
        """Logits float16 [M, K] of an arm that is fitted to all labels with all its steps."""
        trained = arm.fit(labels, torch.zeros(0, dtype=torch.int64), 1e9)
        assert trained is not None
        if arm.card.trains_encoder:
            features = self._features_of(trained)
        else:
            key = id(trained.encoder)
            if key not in self.features:
                self.features[key] = self._features_of(trained)
            features = self.features[key]
        with torch.no_grad():
            return trained.head(features).half()

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


class Outcome(NamedTuple):
    """One advice, and what came true."""

    name: str
    labels: int
    winner: str
    promise: Promise
    best: str
    """the arm that is best on new images"""
    behind: float
    """accuracy of that arm minus the winner's"""
    shares: dict[str, float]
    """accuracy on new images of each arm that can be saved, by `kind`"""
    claims: list[str]
    """what is said to have helped"""
    false_claims: list[str]
    """of these, what did not on new images"""

    @property
    def kept(self) -> bool:
        """Whether the accuracy lies within the promised interval."""
        return self.promise.low <= self.promise.true <= self.promise.high


def outcome(path: Path, seed: int) -> Outcome | None:
    """What the advice of a stored draw says, against what came true; None where nothing was promised."""
    stored = torch.load(path, weights_only=False)
    if not stored:
        return None
    draw = Draw(*stored)
    promise, _ = judged(draw, seed)
    arms, held_out = eligible(draw.tried), draw.fold_of != NEVER
    winner = arms[answers_of(arms, draw.labels, held_out).best].card.name
    new = accuracies(draw)
    able = {each.card.name for each in draw.tried if each.card.can_win}
    best = max((name for name in new if name in able), key=new.__getitem__)
    shares = {kind(name): share for name, share in new.items() if name in able}
    gains = gains_of(draw.tried, draw.labels, draw.groups)
    claims = [each for each in gains if each.low is not None and each.low > 0]
    wrong = [each.of for each in claims if new[each.first] <= new[each.second]]
    name, labels, _ = path.stem.rsplit("-", 2)
    said = [each.of for each in claims]
    return Outcome(
        name, int(labels), kind(winner), promise, kind(best), new[best] - new[winner], shares, said, wrong
    )  # fmt: skip


def kind(name: str) -> str:
    """An arm's name without the encoder."""
    return name.split(", ", 1)[1].removeprefix("frozen, ")


def one_row(each: Outcome) -> list[str]:
    """A draw, as `DRAWS` names it."""
    promise = each.promise
    return [
        each.name,
        str(each.labels),
        each.winner,
        f"{promise.expected:.1%} ({promise.low:.0%} to {promise.high:.0%})",
        f"{promise.true:.1%}",
        "yes" if each.kept else "no",
        each.best,
        f"{100 * each.behind:.1f}",
    ]


def arm_rows(found: list[Outcome]) -> list[list[str]]:
    """Each kind of arm, as `ARMS` names it: over the draws in which it was run to its end."""
    rows = []
    for arm in sorted({name for each in found for name in each.shares}):
        of = [each for each in found if arm in each.shares]
        share = fmean(each.shares[arm] for each in of)
        over = fmean(each.shares[arm] - each.promise.true for each in of)
        won = sum(each.winner == arm for each in found)
        rows.append([arm, str(len(of)), f"{share:.1%}", f"{100 * over:+.1f}", str(won)])
    return sorted(rows, key=lambda row: -float(row[3]))


def statements(found: list[Outcome]) -> list[Claim]:
    """What an advice says of itself, over all draws."""
    count = len(found)
    kept, close = sum(each.kept for each in found), sum(each.behind <= 0.01 for each in found)
    wrong = sum(len(each.false_claims) for each in found)
    share, low, high = wilson(kept / count, count)
    behind = 100 * fmean(each.behind for each in found)
    above = 100 * fmean(each.promise.expected - each.promise.true for each in found)
    trained = sum(each.winner != WEIGHTED_MEAN for each in found)
    notes = (
        f"{kept} of {count} draws; binomial interval {low:.3f} to {high:.3f}; the mean promise is {above:+.1f} points "
        f"from the truth",
        f"in {close} of {count} draws; {trained} winners have a trained encoder",
        f"of {sum(len(each.claims) for each in found)} such sentences",
    )
    return [
        Claim("the accuracy lies within its 95% interval in 90% of all draws", 0.9, share, True, notes[0]),
        Claim("the winner is within a point of the best arm on average", 1.0, behind, False, notes[1]),
        Claim("nothing is said to have helped that did not", 0, wrong, False, notes[2]),
    ]  # fmt: skip


def judge(settings: Settings) -> None:
    """What is in the draws."""
    paths = sorted(settings.into.glob("*.pt"))
    judged_draws = [outcome(path, seed) for seed, path in enumerate(paths)]
    found = [each for each in judged_draws if each is not None]
    draws = Table("Each draw", DRAWS, [one_row(each) for each in found])
    arms = Table("Arms, each run to its end", ARMS, [*arm_rows(found)])
    keep("advise_trained", TITLE, [draws, arms], statements(found), pixels=SIZE)


def main(settings: Settings) -> None:
    make(settings) if settings.sets else judge(settings)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(tyro.cli(Settings))
