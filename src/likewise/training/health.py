"""Notice during training that the loss is no longer a number, and say what to do."""

from __future__ import annotations

import math

from likewise.errors import LikewiseError

PATIENCE = 3
"""Readings in a row that make a warning: the first steps of a healthy run can look bad."""


class TrainingDiverged(LikewiseError):
    """The loss is no longer a number."""

    exit_code = 1


class Patience:
    """True once: when a condition has held for `PATIENCE` readings in a row for the first time."""

    def __init__(self) -> None:
        self._in_a_row, self._done = 0, False

    def check(self, condition: bool) -> bool:
        """Take in one reading."""
        self._in_a_row = self._in_a_row + 1 if condition else 0
        if self._done or self._in_a_row < PATIENCE:
            return False
        self._done = True
        return True


class Health:
    """Watches whether the loss is a number."""

    def __init__(self, precision: str = "32-true") -> None:
        self.precision = precision
        self.last_finite = math.nan
        self.saved_step = 0
        """the step of the newest checkpoint; 0: there is none"""

    def check_loss(self, loss: float, step: int, rate: float) -> None:
        """Raise if the loss is NaN or infinite.

        Raises:
            TrainingDiverged: with the last finite loss, the checkpoint that is left, and what to try.
        """
        if math.isfinite(loss):
            self.last_finite = loss
            return
        checkpoint = "No checkpoint had been written yet."
        if self.saved_step:
            checkpoint = f"The checkpoint of step {self.saved_step} is left."
        other = "" if self.precision.startswith("32") else ", --precision 32"
        raise TrainingDiverged(
            f"The loss became {loss} at step {step} (before: {self.last_finite:.4g}; learning rate {rate:.3g}). "
            f"{checkpoint} Usual remedies: a smaller --recipe.learning-rate, a longer --recipe.warm-up, "
            f"--clip-grad-norm 1{other}; `likewise doctor` looks for broken images."
        )
