"""The remaining time of a run, measured over its first steps."""

from __future__ import annotations

WARM_UP = 3
"""Steps that are not measured: the first ones wait for workers, compile and allocate."""

WARM_UP_SECONDS = 10.0
"""Seconds after which no further step is left out: slow steps hide what the first ones wait for."""

MEASURED = 20
"""Steps over which the time is measured, or as many as fit into `MEASURED_SECONDS`."""

MEASURED_SECONDS = 20.0

SHORTEST_PRINTED = 60.0
"""Seconds from which the estimate is printed."""

LONG = 3600.0
"""Seconds above which `likewise advise` may be the better use of the time."""


class TimeEstimate:
    """Says once, early in a run, how long it will take.

    Args:
        first_step: steps that were done before, in a resumed run.
        steps: of the whole run.
    """

    def __init__(self, first_step: int, steps: int) -> None:
        self._begin, self._steps = first_step + WARM_UP, steps
        self._began: float | None = None
        self._done = False

    def step(self, step: int, seconds: float) -> str:
        """A sentence where the measurement ends with this step, else nothing.

        Args:
            step: steps that are done.
            seconds: of training so far, without scores and checkpoints.
        """
        if self._done or (step < self._begin and seconds < WARM_UP_SECONDS):
            return ""
        if self._began is None:
            self._begin, self._began = step, seconds
            return ""
        measured, took = step - self._begin, seconds - self._began
        if measured < MEASURED and took < MEASURED_SECONDS:
            return ""
        self._done = True
        left = took / measured * (self._steps - step)
        if left < SHORTEST_PRINTED:
            return ""
        sentence = f"About {duration(left)} left, measured over {measured} step{'s' if measured > 1 else ''}."
        if left <= LONG:
            return sentence
        return (
            f"{sentence} What your images and a few labels allow in a shorter time: likewise advise DATA --time 20m. A "
            f"stopped run continues with --resume."
        )


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 4 h``: two units at most."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    days, hours_of_day = divmod(hours, 24)
    if days:
        return f"{days} d {hours_of_day} h"
    return f"{hours} h {rest} min" if hours else f"{minutes} min"
