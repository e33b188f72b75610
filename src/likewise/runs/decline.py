"""A guard for continued pre-training: detect features that become worse than those of the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from statistics import fmean

from torch import Tensor

from likewise.errors import LikewiseError
from likewise.evaluation.features import eval_mode
from likewise.evaluation.online import OnlineScores
from likewise.evaluation.statistics.confidence import Interval, paired_difference
from likewise.report.wording import interval, percent, score_name
from likewise.run_folder import RunFolder
from likewise.training import Callback, CallbackState
from likewise.training.guard_action import Action, GuardMessages
from likewise.training.kept_networks import keep, kept, restore
from likewise.training.screen import Screen

PATIENCE = 2
"""number of evaluations in a row below the start; a single one may be chance"""


class DeclineGuard(Callback):
    """Compare online accuracies with those of the frozen start, on the same images, and act where one has fallen.

    The nearest neighbours and the linear probe of the start at step 0 are the floors. An accuracy has fallen where the
    whole 95% interval of its paired difference is below 0, in two evaluations in a row.

    Args:
        online: the scores that the run takes, in the first process; None in the others, where nothing is compared.
        action: ``warn`` says so; ``stop`` ends the run, ``rollback`` lets it go on, and both keep in the end the
            networks of the best evaluation, which may be the start.
        screen: prints the warning.
    """

    def __init__(self, online: OnlineScores | None, action: Action, screen: Screen) -> None:
        self.online, self.action = online, action
        self.messages = GuardMessages(
            "decline", "--on-decline", action, "the best networks", screen
        )
        self.start: dict[str, Tensor] = {}
        """for each score, bool [Q]: which validation images the start has right"""
        self.below: Counter[str] = Counter()
        """for each score, the evaluations in a row in which it was below the start"""
        self.best = -1.0

    def on_start(self, state: CallbackState) -> None:
        """Score the start, or read what a stopped run has stored of it."""
        if self.online is None or state.run is None:
            return
        if state.step > 0:
            self._read(state.run)
            return
        with eval_mode(state.nets):
            scores = self.online(state.nets)
        if not self.online.correct:
            return  # no validation labels
        self.start = self.online.correct
        state.log({name: value for name, value in scores.items() if name.endswith("_top1")})
        self._keep_best(state)

    def on_evaluation(self, state: CallbackState) -> None:
        """Compare, and act at the second evaluation in a row in which a score is below the start."""
        if self.online is None or not self.start or not self.online.correct:
            return
        self._keep_best(state)
        differences = self._differences(self.online.correct)
        for name, difference in differences.items():
            self.below[name] = self.below[name] + 1 if difference.high < 0 else 0
        if self._fallen():
            reason = self._reason(differences)
            self.messages.report(f"Training makes the features worse: {reason}.", state.log)
            if self.action == "stop":
                state.stop(reason)

    def on_end(self, state: CallbackState) -> None:
        """Go back to the best networks where the run ended below its start and is to keep what it had."""
        if self.online is None or state.run is None or self.action == "warn" or not self._fallen():
            return
        step = restore(state.run.best, state.nets, state.run)
        message = f"The networks are those of step {step:,}, which had the best online accuracy."
        self.messages.say(message, state.log)

    def _fallen(self) -> list[str]:
        """The scores that have fallen."""
        return [name for name, times in self.below.items() if times >= PATIENCE]

    def _differences(self, correct: Mapping[str, Tensor]) -> dict[str, Interval]:
        """Of each score that the start has, over the start."""
        return {name: paired_difference(correct[name], self.start[name]) for name in self.start}

    def _reason(self, differences: Mapping[str, Interval]) -> str:
        """Which accuracies have fallen and which have not, each with the interval of its difference."""
        assert self.online is not None
        fallen = self._fallen()
        found = []
        for name in sorted(differences, key=lambda name: name not in fallen):
            what = "has fallen" if name in fallen else "has not"
            start, now = _share(self.start[name]), _share(self.online.correct[name])
            low, high = differences[name].low, differences[name].high
            found.append(
                f"{score_name(name)} {what}, from {percent(start)} at the start to {percent(now)} "
                f"(95% interval of the difference {interval(low, high)} points)"
            )
        return "; ".join(found)

    def _keep_best(self, state: CallbackState) -> None:
        """Store the networks of the evaluation with the best mean score, and the start's, next to the checkpoint."""
        assert self.online is not None and state.run is not None
        value = fmean(map(_share, self.online.correct.values()))
        if value <= self.best:
            return
        self.best = value
        nets = None if self.action == "warn" else state.nets
        keep(state.run.best, nets, step=state.step, value=value, start=self.start)

    def _read(self, run: RunFolder) -> None:
        """The start's answers and the best evaluation of a run that goes on."""
        if not run.best.exists():
            return
        stored = kept(run.best)
        self.start, self.best = stored["start"], stored["value"]


def _share(correct: Tensor) -> float:
    return float(correct.double().mean())


def check_on_decline(
    action: Action, has_start: bool, has_labels: bool, num_evals: int, averaged: bool
) -> None:
    """Refuse an action that could never be taken.

    Args:
        action: of ``--on-decline``.
        has_start: whether the run starts from weights.
        has_labels: whether validation images have labels.
        num_evals: how often the run is scored.
        averaged: whether a moving average of the weights is scored instead of the newest ones.

    Raises:
        LikewiseError: with what is missing.
    """
    if action == "warn":
        return
    missing = {
        "a run that starts from weights: give --pretrained or --from": has_start,
        "labelled validation images, by which the start is scored: give --labels labels.csv": has_labels,
        "online scores: give --num-evals 2 or more": num_evals > 1,
        "the newest weights: leave out --model-ema-decay": not averaged,
    }
    for needed, present in missing.items():
        if not present:
            raise LikewiseError(f"--on-decline {action} needs {needed}.")
