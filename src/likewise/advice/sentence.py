"""An advice in plain sentences, which claim no more than their intervals allow."""

from __future__ import annotations

from collections.abc import Sequence

from likewise.advice.advice import ArmResult, Gain
from likewise.advice.worth import LABELS, OWN, TUNING, UNLABELLED_IMAGES, WEIGHTS
from likewise.counts import amount
from likewise.report.wording import interval, percent, points

LITTLE = 0.02
"""a gain that cannot exceed this is called none"""


def first_sentence(
    images: int,
    labels: int,
    classes: int,
    winner: str,
    expected: float | None,
    low: float | None,
    high: float | None,
) -> str:
    """The winner and what may be expected of it."""
    start = f"From {amount(images, 'image')} and {amount(labels, 'label')} of {amount(classes, 'class', 'classes')}"
    if expected is None or low is None or high is None:
        return (
            f"{start} no accuracy can be estimated: a class needs two labels for that. The classifier that is saved "
            f"({winner}) is the usual choice with so few labels."
        )
    # Without a mistake among few labels the estimate is 1, which no classifier keeps.
    if percent(expected, 0) == percent(1.0, 0) != percent(low, 0):
        return (
            f"{start} the best classifier found made next to no mistake in cross-validation, and is expected to be "
            f"right on at least {percent(low, 0)} of new images: {winner}."
        )
    return (
        f"{start} the best classifier found is expected to be right on {percent(expected, 0)} of new images "
        f"({interval_in_percent(low, high)}): {winner}."
    )


def choice_sentence(winner: ArmResult, arms: Sequence[ArmResult], folds: int) -> str:
    """Why the arm with the highest accuracy is not the winner; empty where it is."""
    best = max((arm for arm in arms if arm.accuracy is not None), key=_accuracy, default=winner)
    if _accuracy(best) <= _accuracy(winner):
        return ""
    start = f"The highest accuracy, {percent(best.accuracy)}, is that of {best.name}"
    if best.folds < folds:
        return f"{start}, on {best.folds} of {folds} folds: an arm is chosen only when it was tried on all of them."
    own, other = percent(winner.probability), percent(best.probability)
    if (winner.probability or 0.0) > (best.probability or 0.0):
        return (
            f"{start}. The winner gives the right class a higher probability ({own} against {other}), which tells more "
            f"about new images where labels are few."
        )
    return (
        f"{start}. It gives the right class about the same probability as the winner ({other} against {own}), or "
        f"is a comparison; a mean of heads is preferred to what it averages and to what is hardly better."
    )


def _accuracy(arm: ArmResult) -> float:
    return arm.accuracy if arm.accuracy is not None else -1.0


def interval_in_percent(low: float, high: float) -> str:
    """(0.88, 0.93) -> ``88 to 93``."""
    return f"{100 * low:.0f} to {100 * high:.0f}"


def gain_sentence(gain: Gain) -> str:
    """What one ingredient gained, or that it was not tried."""
    if gain.value is None or gain.low is None or gain.high is None:
        return _NOT_TRIED.get(gain.of, "")
    numbers = f"{points(gain.value)}, 95% interval {interval(gain.low, gain.high)}"
    if gain.low > 0:
        return _GAINED[gain.of].format(numbers=numbers)
    if gain.of == OWN and gain.high <= LITTLE:
        return f"More pre-training would not pay ({numbers})."
    if gain.high < 0:
        return _LOST[gain.of].format(numbers=numbers)
    return _UNSURE[gain.of].format(numbers=numbers)


_GAINED = {
    LABELS: "The second half of the labels brought {numbers}: more labels would probably help.",
    WEIGHTS: "Pretrained weights brought {numbers}, over the labels alone from scratch.",
    TUNING: "Fine-tuning the encoder brought {numbers}, over leaving it frozen.",
    UNLABELLED_IMAGES: "The images without a label brought {numbers}.",
    OWN: "Pre-training on your own images brought {numbers}.",
}
_LOST = {
    LABELS: "The second half of the labels did not help ({numbers}).",
    WEIGHTS: "Pretrained weights did harm here ({numbers}); labels alone from scratch are better.",
    TUNING: "Fine-tuning the encoder did harm ({numbers}).",
    UNLABELLED_IMAGES: "Learning from the images without a label did harm ({numbers}).",
    OWN: "Pre-training on your own images did harm ({numbers}).",
}
_UNSURE = {
    LABELS: "No clear effect of the second half of the labels was found ({numbers}).",
    WEIGHTS: "So few labels do not show whether pretrained weights helped ({numbers}).",
    TUNING: "No gain of fine-tuning the encoder was found ({numbers}).",
    UNLABELLED_IMAGES: "No gain of the images without a label was found ({numbers}).",
    OWN: "No gain of pre-training on your own images was found ({numbers}).",
}
_NOT_TRIED = {
    WEIGHTS: "Pretrained weights were not compared with a start from scratch.",
    TUNING: "Fine-tuning was not tried in the time.",
    UNLABELLED_IMAGES: "",
    OWN: "Pre-training of your own was not tried in the time.",
}
