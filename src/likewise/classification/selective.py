"""Which predictions are sure enough: a threshold of confidence that keeps a stated precision."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from likewise.counts import amount
from likewise.errors import LikewiseError

ERROR_RATE = 0.1
"""chance, over samples of the held-out labels, that the precision is missed"""

CANDIDATES = 40
"""thresholds that may be tried, at even steps of the number of predictions above them"""


class Threshold(NamedTuple):
    """A threshold of confidence, and what it was chosen by."""

    value: float
    """predictions of less confidence are unsure; infinity where all are"""
    precise: float
    """the requested precision"""
    retained: int
    """held-out predictions that are sure"""
    correct: int
    """how many of those are correct"""
    held_out: int
    """held-out predictions in all"""

    @property
    def reachable(self) -> bool:
        """Whether any prediction is sure."""
        return math.isfinite(self.value)

    def __str__(self) -> str:
        """One line for the screen."""
        if self.reachable:
            return (
                f"sure from a probability of {self.value:.3f}: {self.correct:,} of the {self.retained:,} held-out "
                f"predictions above it are correct ({self.held_out:,} were held out)"
            )
        least = fewest(self.precise)
        if self.held_out < least:
            why = (
                f"{amount(self.held_out, 'held-out label')} are too few; {least:,} are the least, "
                f"with all of them correct"
            )
        else:
            why = f"the classifier is not right often enough on its {amount(self.held_out, 'held-out label')}"
        return (
            f"everything is unsure at a precision of {self.precise:g}: {why}. Label more images, or ask for less with "
            f"--precise."
        )


def choose_threshold(
    confidence: Tensor, correct: Tensor, precise: float, error_rate: float = ERROR_RATE
) -> Threshold:
    """The lowest threshold above which the precision holds, with a guarantee for finite samples.

    Learn then Test (Angelopoulos et al. 2021, Sec. 4 and App. B, https://arxiv.org/abs/2110.01052): each candidate's
    p-value is the exact binomial chance of so few errors in the predictions above it, if its precision
    were lower than requested. Candidates are tested in a fixed sequence, each at the full error rate, until one is not
    rejected. The sequence begins where the confidences themselves expect the smallest p-value, and goes on to lower
    thresholds. It depends on no label, so over samples of the held-out labels the precision of the predictions above it
    is missed at most as often as ``error_rate``, as far as held-out predictions are like those of new images.
    On features of photographs, sharing the error rate among five starts left half as many predictions sure.

    Args:
        confidence: float [N], probability of the predicted class of held-out images.
        correct: bool [N], whether that class was right.
        precise: the precision, between 0 and 1.
        error_rate: how often it may be missed.

    Raises:
        LikewiseError: the precision is not between 0 and 1.
    """
    from scipy.stats import binom  # SciPy's import waits until it is needed

    if not 0 < precise < 1:
        raise LikewiseError(
            f"--precise {precise:g} was given; it is a share between 0 and 1, for instance 0.95."
        )
    order = confidence.argsort(descending=True, stable=True)
    ranked, errors = confidence[order], (~correct[order]).long().cumsum(0)
    retained = 0
    for count in _sequence(ranked, precise):
        if binom.cdf(int(errors[count - 1]), count, 1 - precise) > error_rate:
            break
        retained = count
    value = float(ranked[retained - 1]) if retained else math.inf
    return Threshold(
        value, precise, retained, int(correct[order][:retained].sum()), len(confidence)
    )


def fewest(precise: float, error_rate: float = ERROR_RATE) -> int:
    """How many predictions, all correct, show a precision at one threshold."""
    return math.ceil(math.log(error_rate) / math.log(precise))


def _sequence(ranked: Tensor, precise: float) -> list[int]:
    """How many predictions are at or above each threshold to test, in order, of confidences in descending order."""
    from scipy.stats import binom

    total = len(ranked)
    if not total:
        return []
    wanted = {math.ceil(total * (step + 1) / CANDIDATES) for step in range(CANDIDATES)}
    # Equal confidences are on one side of any threshold.
    counts = sorted({int((ranked >= ranked[count - 1]).sum()) for count in wanted})
    expected_errors = (1 - ranked).cumsum(0)
    expected = [
        float(binom.cdf(round(float(expected_errors[count - 1])), count, 1 - precise))
        for count in counts
    ]
    return counts[expected.index(min(expected)) :]
