"""Code of the user's own that runs while a network trains: logging, early stopping, pruning."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer

from likewise.errors import LikewiseError
from likewise.field_types import SIZE, Range, typed_arguments
from likewise.methods import Nets, Step
from likewise.run_folder import RunFolder


@dataclass(frozen=True)
class CallbackState:
    """The progress of training, as a callback sees it. It is made anew for each event."""

    step: int
    """optimiser steps done"""
    steps: int
    """optimiser steps of the whole run"""
    images: int
    """images that the trained encoder has forwarded, over all processes"""
    seconds: float
    """time spent in steps, without evaluation"""
    scores: Mapping[str, float]
    """the newest online scores, such as ``knn20_top1``; empty before the first evaluation"""
    nets: Nets
    """the networks, including ``nets.encoder``. In ``on_step`` parameters still hold their gradients in ``.grad``"""
    optimizer: Optimizer
    """the optimiser, with its learning rate in ``param_groups``"""
    run: RunFolder | None
    """the run's folder; None where nothing is written"""
    stop: Callable[[str], None]
    """``stop(reason)`` ends training after this step: a checkpoint is written and the run is scored and reported as a
    shorter one, with ``stopped_early`` in environment.json"""
    log: Callable[[Mapping[str, Any]], None]
    """``log(values)`` adds a line of numbers, texts or tensors of one number to metrics.jsonl and the loggers"""
    newest: Step | None = None
    """the newest step, whose numbers may still be on the device"""

    @property
    def loss(self) -> float:
        """The loss of the newest step, NaN before the first. Reading it waits for the device."""
        return math.nan if self.newest is None else float(self.newest.loss)

    @property
    def metrics(self) -> dict[str, float]:
        """The method's metrics in the newest step, such as ``feature_std``. Reading them waits for the device."""
        if self.newest is None:
            return {}
        return {name: float(value) for name, value in self.newest.metrics.items()}


class Callback:
    """Override what you need. An exception in any method ends the run with its own traceback.

    With several processes each of them calls all methods, except `on_evaluation`: the first process alone takes the
    scores. A callback must not change the networks if the run is to be resumed bit for bit.
    """

    def on_start(self, state: CallbackState) -> None:
        """Training begins, or goes on after the checkpoint at ``state.step``."""

    def on_step(self, state: CallbackState) -> None:
        """An optimiser step is done."""

    def on_evaluation(self, state: CallbackState) -> None:
        """Online scores have been taken: ``state.scores``."""

    def on_checkpoint(self, state: CallbackState) -> None:
        """A checkpoint has been written: ``state.run.checkpoint``."""

    def on_end(self, state: CallbackState) -> None:
        """The last step is done, or training was stopped early. Not called after an interruption or an exception."""


class EarlyStopping(Callback):
    """Stop when an online score has not improved for a number of evaluations.

    Args:
        score: the name of an online score, such as ``knn20_top1``.
        patience: evaluations in a row without improvement after which training stops.
        mode: whether a higher score is better (``max``) or a lower one (``min``).
        min_delta: the least change that counts as an improvement.

    Raises:
        LikewiseError: ``patience`` is below 1, ``mode`` is unknown, or the run takes no score of that name.
    """

    @typed_arguments(patience=SIZE, min_delta=Range(0))
    def __init__(
        self, score: str, patience: int, mode: Literal["max", "min"] = "max", min_delta: float = 0.0
    ) -> None:
        if patience < 1:
            raise LikewiseError(
                f"EarlyStopping(patience={patience}) was given; it must be 1 or more."
            )
        if mode not in ("max", "min"):
            raise LikewiseError(f"EarlyStopping(mode={mode!r}) was given. Choose 'max' or 'min'.")
        self.score, self.patience, self.mode, self.min_delta = score, patience, mode, min_delta
        self.best = -math.inf
        self.waited = 0

    def on_start(self, state: CallbackState) -> None:
        """Read the evaluations before a resumed run's checkpoint again."""
        self.best, self.waited = -math.inf, 0
        if state.run is None or state.step == 0:
            return
        for line in state.run.metric_lines():
            if self.score in line:
                self._update(line[self.score])

    def on_evaluation(self, state: CallbackState) -> None:
        """Compare the newest score with the best one."""
        if self.score not in state.scores:
            raise LikewiseError(
                f"EarlyStopping(score={self.score!r}) was given, but the online scores of this run are "
                f"{', '.join(state.scores) or 'none'}. Choose one of them."
            )
        self._update(state.scores[self.score])
        if self.waited >= self.patience:
            state.stop(f"{self.score} has not improved for {self.waited} evaluations")

    def _update(self, score: float) -> None:
        value = score if self.mode == "max" else -score
        if value > self.best + self.min_delta:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
