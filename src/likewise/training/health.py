"""Notice while it runs that a run has gone wrong, and say plainly what to do."""

from __future__ import annotations

import math

from likewise.errors import LikewiseError

COLLAPSED = 0.1
"""A spread below this is collapse: healthy embeddings lie near 1, a constant one at 0 (SimSiam's Fig. 2 measure)."""

PATIENCE = 3
"""Looks in a row at which the spread must be that low: the first steps of a healthy run can be."""


class TrainingDiverged(LikewiseError):
    """The loss is no longer a number."""

    exit_code = 1


class Health:
    """Watches the loss and the spread of the embeddings."""

    def __init__(self, precision: str = "32-true") -> None:
        self.precision = precision
        self.last_finite = math.nan
        self._narrow = 0
        self._told = False

    def check_loss(self, loss: float, step: int, rate: float, saved: int) -> None:
        """Raise if the loss is NaN or infinite.

        Raises:
            TrainingDiverged: with the last finite loss, what was kept and what to try.
        """
        if math.isfinite(loss):
            self.last_finite = loss
            return
        kept = f"The checkpoint of step {saved} is kept." if saved else "No checkpoint had been written yet."
        other = "" if self.precision.startswith("32") else ", --precision 32"
        raise TrainingDiverged(
            f"The loss became {loss} at step {step} (before: {self.last_finite:.4g}; learning rate {rate:.3g}). {kept} "
            f"Usual remedies: a smaller --recipe.learning-rate, a longer --recipe.warm-up{other}; `likewise doctor` "
            f"looks for broken images."
        )

    def check_feature_std(self, feature_std: float, step: int) -> str | None:
        """A warning, once, when the embeddings have collapsed onto each other."""
        self._narrow = self._narrow + 1 if feature_std < COLLAPSED else 0
        if self._narrow < PATIENCE or self._told:
            return None
        self._told = True
        return (
            f"The embeddings have collapsed: by step {step} all images look the same to the network (feature_std "
            f"{feature_std:.3f} of 1). Stop with Ctrl-C, then try a smaller learning rate, a larger batch, or a "
            f"method with negatives such as simclr."
        )
