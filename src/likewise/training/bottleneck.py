"""Which part of a step takes the time: waiting for data, forward, or backward; told before anybody has to ask."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch

from likewise.data.images import FileImages
from likewise.data.loader import Loader

Part = Literal["data", "forward", "backward"]

RECENT = 100
"""steps at most whose times are kept between two lines of the log"""
STARVED = 1 / 3
"""share of the time from which waiting for data is told: a third of a GPU is worth a word"""
DOMINANT = 1 / 2
"""share of the time from which the forward or the backward pass is named"""
PATIENCE = 3
"""looks in a row at which data were short before the log is warned: workers need a few steps to fill their queues"""


class StepSeconds(NamedTuple):
    """Mean seconds of a step's parts."""

    data: float
    """waiting for a batch and, on a GPU, copying it there"""
    forward: float
    """making views, the networks, the loss"""
    backward: float
    """gradients, the optimiser, and what gradients do not move"""

    @property
    def largest(self) -> tuple[Part, float]:
        """The part that takes most, and its share of the step."""
        parts: dict[Part, float] = {"data": self.data, "forward": self.forward, "backward": self.backward}
        part = max(parts, key=parts.__getitem__)
        return part, parts[part] / max(sum(self), 1e-12)


class StepTimes:
    """Times the parts of steps where they are computed, and never makes the computer wait for that.

    A CPU is done with an operation when the call returns, so its clock is read. A GPU works through a queue: events are
    put into it, which cost microseconds, and read only when the loss has been fetched anyway, so that all before it is
    done. There a wait for data counts only as far as the GPU stood idle; a wait during which its queue was full is
    none. On other devices, whose calls return early and which have no such events here, nothing is timed.

    The first step is left out: it starts worker processes and warms the device up.
    """

    def __init__(self, device: torch.device) -> None:
        self._mark, self._between = _clock_of(device)
        self._marks: list[Any] = []
        self._steps: deque[list[Any]] = deque(maxlen=RECENT)
        self._warm = False

    def begin(self, part: Part) -> None:
        """A part begins, and the one before it has ended; a step begins with waiting for data.

        After that forward and backward alternate, once for each player that has a turn in the step.
        """
        if part == "data":
            self._marks = []
        self._marks.append(self._mark())

    def end(self) -> None:
        """The step has ended."""
        self._marks.append(self._mark())
        if self._warm:
            self._steps.append(self._marks)
        self._warm = True

    def take(self) -> StepSeconds | None:
        """The mean since the last call, None where no step was timed; for when the device has been waited for."""
        steps, count = list(self._steps), len(self._steps)
        self._steps.clear()
        if not count or self._mark is _nothing:
            return None
        spent = [[self._between(*pair) for pair in pairwise(marks)] for marks in steps]
        parts = [(each[0], sum(each[1::2]), sum(each[2::2])) for each in spent]
        return StepSeconds(*(sum(values) / count for values in zip(*parts, strict=True)))


class Bottleneck:
    """Words for what holds training up.

    Args:
        remedy: what to do where data come too late.
    """

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy
        self._starved, self._told = 0, False

    def name(self, seconds: StepSeconds) -> str:
        """A few words for the progress line; nothing where no part stands out."""
        part, share = seconds.largest
        if part == "data" and share >= STARVED:
            return f"waits for data {share:.0%}: {self.remedy}"
        return f"{part} {share:.0%}" if part != "data" and share >= DOMINANT else ""

    def check(self, seconds: StepSeconds, step: int) -> str | None:
        """A warning, once, when data have come too late for a while."""
        part, share = seconds.largest
        self._starved = self._starved + 1 if part == "data" and share >= STARVED else 0
        if self._starved < PATIENCE or self._told:
            return None
        self._told = True
        return f"At step {step}, {share:.0%} of the time goes into waiting for data: {self.remedy}."


def remedy_for(loader: Loader) -> str:
    """What to do where this loader is too slow."""
    if not isinstance(loader.images, FileImages):
        return "choose a smaller --image-size"
    cores = os.cpu_count() or 1
    if loader.workers < cores:
        return f"raise --num-workers ({loader.workers} now, of {cores} cores)"
    return f"choose a smaller --image-size, for --num-workers {loader.workers} keep all {cores} cores busy"


def _clock_of(device: torch.device) -> tuple[Callable[[], Any], Callable[[Any, Any], float]]:
    """How to mark a moment on a device, and how many seconds lie between two marks."""
    if device.type == "cpu":
        return time.perf_counter, lambda start, end: end - start
    return (_event, _seconds_between) if device.type == "cuda" else (_nothing, lambda start, end: 0.0)


def _event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _seconds_between(start: torch.cuda.Event, end: torch.cuda.Event) -> float:
    end.synchronize()  # at once: the loss, which comes later in the queue than all but the last step, has been read
    return start.elapsed_time(end) / 1000


def _nothing() -> None:
    return None
