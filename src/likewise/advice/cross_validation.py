"""Cross-validation of arms on the same folds, as many as the time allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from likewise.advice.arm import AdviceArm, ArmCard
from likewise.advice.clock import Clock
from likewise.advice.expected import Answers
from likewise.advice.folds import NEVER
from likewise.classification import fit_temperature
from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.statistics.confidence import paired_difference
from likewise.training import Interrupted

LEAST_PROBABILITY = 1e-6
"""of a label, below which an answer is no more wrong"""

Outcome = Literal["complete", "behind", "no time", "not tried", "failed"]
"""all folds; dropped since others were ahead; begun, but the time did not suffice; never begun; ended by an error"""

FAILURES = (LikewiseError, MemoryError, torch.OutOfMemoryError)
"""what ends an arm and not the advice: a package is missing, features become NaN, memory does not suffice"""


@dataclass(eq=False)
class TriedArm:
    """Out-of-fold predictions of an arm, and how long they took."""

    card: ArmCard
    logits: Tensor
    """float32 [L, K], NaN where the image was not held out"""
    fold_seconds: list[float] = field(default_factory=list)
    """of each fold that was tried"""
    outcome: Outcome = "not tried"
    fit_seconds: float = 0.0
    """expected of the fit to all labels"""
    reason: str = ""
    """why it failed"""
    before: float = 0.0
    """seconds spent before the first fold, on what serves all of them"""

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.before + sum(self.fold_seconds)

    @property
    def measured(self) -> Tensor:
        """Bool [L]: the images that were held out."""
        return ~self.logits.isnan().any(dim=1)

    def correct(self, labels: Tensor) -> Tensor:
        """Bool [L]: which of the labelled images are classified rightly; False where not measured."""
        answers = self.logits.nan_to_num(-math.inf).argmax(dim=1)
        return self.measured & (answers == labels)

    def scores(self, labels: Tensor) -> Tensor:
        """Float64 [L]: the log probability of each label at the best temperature for all; least where not measured."""
        logits = self.logits.double() / fit_temperature(self.logits, labels)
        of_label = logits.softmax(dim=1).gather(1, labels[:, None])[:, 0]
        return of_label.nan_to_num(0.0).clamp_min(LEAST_PROBABILITY).log()


def answers_of(arms: Sequence[TriedArm], labels: Tensor, rows: Tensor) -> Answers:
    """Predictions of some arms for some of the labelled images.

    Args:
        arms: A of them.
        labels: int64 [L], of the labelled images.
        rows: bool [L], the images that count.
    """
    correct = torch.stack([each.correct(labels)[rows] for each in arms], dim=1)
    scores = torch.stack([each.scores(labels)[rows] for each in arms], dim=1)  # [M, A]
    priors = torch.tensor([each.card.prior for each in arms], dtype=torch.float64)
    return Answers(correct, scores + priors / max(len(correct), 1))


class CrossValidation:
    """Cross-validation of every arm on the same folds.

    Arms on a frozen encoder take seconds and go through all folds. Those that train the encoder go through successive
    halving (Jamieson & Talwalkar 2016, Sec. 3, https://arxiv.org/abs/1502.07943) with folds as the resource: all on
    the first fold, the better half on two more, the best of these on the others. All see the same labels and are
    measured on the same images.

    Args:
        labels: int64 [N], -1 where hidden.
        fold_of: int64 [L], the fold of each labelled image.
        classes: K.
        clock: the time.
        reserve: seconds to leave for what follows, besides the fit to all labels.
        say: called with a line for each arm and fold before it begins.
    """

    def __init__(
        self,
        labels: Tensor,
        fold_of: Tensor,
        classes: int,
        clock: Clock,
        reserve: float,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.labels, self.fold_of, self.classes = labels, fold_of, classes
        self.clock, self.reserve, self.say = clock, reserve, say
        self.labelled = (labels != UNLABELLED).nonzero().flatten()
        self.folds = int(fold_of.max()) + 1
        self.tried: list[TriedArm] = []
        self._arms: dict[str, AdviceArm] = {}

    def add(self, arms: Sequence[AdviceArm]) -> list[TriedArm]:
        """List arms, from the simplest to the most elaborate."""
        new = []
        for arm in arms:
            blank = torch.full((len(self.labelled), self.classes), torch.nan)
            new.append(TriedArm(arm.card, blank))
            self._arms[arm.card.name] = arm
        self.tried += new
        return new

    def try_all_folds(self, arms: Sequence[AdviceArm]) -> list[TriedArm]:
        """Arms that take seconds: every fold of each."""
        added = self.add(arms)
        for tried in added:
            self._folds(tried, range(self.folds))
        return added

    def halve(self, arms: Sequence[AdviceArm]) -> None:
        """Arms that train the encoder: successive halving, as far as the time goes."""
        alive = self._that_fit(self.add(arms))
        for first, last in _rungs(self.folds):
            going_on = [tried for tried in alive if self._folds(tried, range(first, last))]
            if last < self.folds:
                alive = self._better_half(going_on, last)

    def finish(self) -> None:
        """Use the time that is left for the folds of arms that were dropped or cut short, the best of them first."""
        truth = self.labels[self.labelled]
        begun = [
            each
            for each in self.tried
            if each.outcome in ("behind", "no time") and bool(each.measured.any())
        ]

        def score(tried: TriedArm) -> float:
            return float(tried.scores(truth)[tried.measured].mean())

        begun.sort(key=score, reverse=True)
        for tried in begun:
            done = int(self.fold_of[tried.measured].max()) + 1
            if self.seconds_to_finish(tried, done) <= self.clock.left - self.reserve:
                self._folds(tried, range(done, self.folds))

    def seconds_to_finish(self, tried: TriedArm, done: int) -> float:
        """Of the folds that are left to an arm and its fit to all labels."""
        each = tried.fold_seconds[-1] if tried.fold_seconds else self._predicted(tried)
        return each * (self.folds - done) + each * self._growth

    @property
    def _growth(self) -> float:
        """How much longer a fit to all labels takes than one without a fold, at most."""
        return self.folds / (self.folds - 1) if self.folds > 1 else 1.0

    @property
    def _longest_fit(self) -> float:
        """Seconds of the longest fit to all labels that the winner so far may need."""
        done = [
            each.fit_seconds
            for each in self.tried
            if each.outcome == "complete" and each.card.can_win
        ]
        return max(done, default=0.0)

    def _predicted(self, tried: TriedArm) -> float:
        ever_held_out = int((self.fold_of != NEVER).sum())
        return self.arm(tried).seconds(ever_held_out)

    def result(self, arm: AdviceArm) -> TriedArm:
        """The predictions of an arm."""
        return next(each for each in self.tried if each.card is arm.card)

    def arm(self, tried: TriedArm) -> AdviceArm:
        """The arm that made the predictions."""
        return self._arms[tried.card.name]

    def answers(self, name: str, labels: Tensor, rows: Tensor) -> Tensor:
        """Logits [B, K] of an arm that learns from other labels than those of a fold: of images that it leaves out."""
        trained = self._arms[name].fit(labels, rows, self.clock.left)
        assert trained is not None  # only arms that take no time are used here
        return self._arms[name].logits(trained, rows)

    def _that_fit(self, listed: Sequence[TriedArm]) -> list[TriedArm]:
        """As many arms as can be tried on one fold with time left to finish the slowest of them."""
        chosen: list[TriedArm] = []
        for tried in listed:
            candidates = [*chosen, tried]
            first_rung = sum(self._predicted(each) for each in candidates)
            finish = max(self.seconds_to_finish(each, 1) for each in candidates)
            if first_rung + finish <= self.clock.left - self.reserve:
                chosen = candidates
        return chosen

    def _folds(self, tried: TriedArm, folds: range) -> bool:
        """Try an arm on some folds; whether it got through."""
        for fold in folds:
            needed = self._arms[tried.card.name].seconds(len(self.labelled))
            limit = self.clock.left - self.reserve - max(needed * self._growth, self._longest_fit)
            if needed > limit:
                tried.outcome = "no time" if tried.fold_seconds else "not tried"
                return False
            self.say(f"{tried.card.name}: fold {fold + 1} of {self.folds}")
            try:
                done = self._fold(tried, fold, limit)
            except Interrupted:
                raise
            except FAILURES as error:
                self.fail(tried, error)
                return False
            if not done:
                tried.outcome = "no time"
                return False
        tried.outcome = "complete" if folds.stop == self.folds else "no time"
        return True

    def fail(self, tried: TriedArm, error: BaseException) -> None:
        """Drop an arm that has ended with an error."""
        tried.outcome, tried.reason = "failed", str(error) or type(error).__name__
        self.say(f"{tried.card.name} failed: {tried.reason}")

    def _fold(self, tried: TriedArm, fold: int, limit: float) -> bool:
        """Learn without a fold, and predict its images."""
        arm, held_out = self._arms[tried.card.name], self.fold_of == fold
        rows = self.labelled[held_out]
        visible = self.labels.clone()
        visible[rows] = UNLABELLED
        began = self.clock.spent
        try:
            trained = arm.fit(visible, rows, limit)
            if trained is not None:
                tried.logits[held_out] = arm.logits(trained, rows).float()
        finally:
            tried.fold_seconds.append(self.clock.spent - began)
        tried.fit_seconds = tried.fold_seconds[-1] * self._growth
        return trained is not None

    def _better_half(self, alive: Sequence[TriedArm], done: int) -> list[TriedArm]:
        """Half of the arms, rounded up, that are not surely behind the best of all arms on the same images."""
        truth = self.labels[self.labelled]
        held_out = (self.fold_of >= 0) & (self.fold_of < done)

        def score(tried: TriedArm) -> float:
            return float(tried.scores(truth)[held_out].mean())

        measured = [each for each in self.tried if bool(each.measured[held_out].all())]
        best = max(measured, key=score, default=None)
        ranked = sorted(alive, key=score, reverse=True)
        better = ranked[: math.ceil(len(ranked) / 2)]
        for each in alive:
            each.outcome = "behind"
        if best is None:
            return better
        return [each for each in better if not self._surely_behind(each, best, truth, held_out)]

    def _surely_behind(
        self, tried: TriedArm, best: TriedArm, truth: Tensor, held_out: Tensor
    ) -> bool:
        if tried is best:
            return False
        first, second = tried.correct(truth)[held_out], best.correct(truth)[held_out]
        return paired_difference(first, second).high < 0


def _rungs(folds: int) -> list[tuple[int, int]]:
    """Ranges of folds: the first, two more, the others."""
    ends = sorted({min(1, folds), min(3, folds), folds})
    return list(zip([0, *ends[:-1]], ends, strict=True))
