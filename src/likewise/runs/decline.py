"""A guard for continued pre-training: detect features that become worse than those of the start."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from likewise.errors import LikewiseError
from likewise.evaluation.features import eval_mode
from likewise.evaluation.online import OnlineScores
from likewise.evaluation.statistics.confidence import paired_difference
from likewise.run_folder import RunFolder
from likewise.training import Callback, CallbackState
from likewise.training.guard_action import Action, GuardMessages
from likewise.training.kept_networks import keep, kept, restore
from likewise.training.screen import Screen

PATIENCE = 2
"""number of evaluations in a row below the start; a single one may be chance"""


class DeclineGuard(Callback):
    """Compare the online accuracy with that of the frozen start, on the same images, and act where it has fallen.

    The accuracy of the start at step 0 is the floor. It counts as fallen where the whole 95% interval of the paired
    difference is below 0, in two evaluations in a row.

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
        self.start: Tensor | None = None
        self.below = 0
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
        if self.online.correct is None:
            return  # no validation labels
        self.start = self.online.correct
        state.log({name: value for name, value in scores.items() if name.endswith("_top1")})
        self._keep_best(state, scores)

    def on_evaluation(self, state: CallbackState) -> None:
        """Compare, and act at the second evaluation in a row below the start."""
        if self.online is None or self.start is None or self.online.correct is None:
            return
        self._keep_best(state, state.scores)
        difference = paired_difference(self.online.correct, self.start)
        self.below = self.below + 1 if difference.high < 0 else 0
        if self.below == PATIENCE:
            start = float(self.start.float().mean())
            now = float(self.online.correct.float().mean())
            reason = f"online accuracy has fallen from {start:.1%} at the start to {now:.1%}"
            self.messages.report(f"Training makes the features worse: {reason}.", state.log)
            if self.action == "stop":
                state.stop(reason)

    def on_end(self, state: CallbackState) -> None:
        """Go back to the best networks where the run ended below its start and is to keep what it had."""
        if (
            self.online is None
            or state.run is None
            or self.action == "warn"
            or self.below < PATIENCE
        ):
            return
        step = restore(state.run.best, state.nets, state.run)
        message = f"The networks are those of step {step:,}, which had the best online accuracy."
        self.messages.say(message, state.log)

    def _keep_best(self, state: CallbackState, scores: Mapping[str, float]) -> None:
        """Store the networks of the best evaluation, and the scores of the start, next to the checkpoint."""
        assert self.online is not None and self.online.correct is not None and state.run is not None
        value = float(self.online.correct.float().mean())
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
