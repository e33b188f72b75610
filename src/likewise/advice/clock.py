"""The time that an advice may take: how it is written, and what is left of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from likewise.errors import LikewiseError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
"""seconds in each unit"""


def parse_time(given: str | float) -> float:
    """Seconds: of ``90s``, ``20m``, ``1.5h`` or a number of seconds.

    Raises:
        LikewiseError: it is no time, or not above 0.
    """
    found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([smh]?)\s*", str(given).lower())
    seconds = float(found[1]) * UNITS[found[2] or "s"] if found else 0.0
    if seconds <= 0:
        raise LikewiseError(
            f"--time {given} was given; it takes a number above 0 with its unit, s, m or h, for instance 20m."
        )
    return seconds


def in_words(seconds: float) -> str:
    """A time as it is typed, rounded up: 90 -> ``90s``, 1200 -> ``20m``."""
    whole = int(-(-seconds // 1))
    return f"{whole}s" if whole % 60 and whole < 600 else f"{-(-whole // 60)}m"


class Clock:
    """Counts down from a number of seconds.

    Args:
        seconds: how many.
        now: the time, in seconds from any start.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.now = seconds, now
        self.started = now()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.now() - self.started

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 where it is late."""
        return self.seconds - self.spent
