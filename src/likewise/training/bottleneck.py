"""Which part of a step takes the time: waiting for data, forward, or backward."""

from __future__ import annotations

import os
import time
from collections import deque
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch

from likewise.data.images import FileImages
from likewise.data.loader import Loader
from likewise.training.health import Patience

Part = Literal["data", "forward", "backward"]

RECENT = 100
"""steps at most whose times are stored between two lines of the log"""
STARVED = 1 / 3
"""share of the time from which waiting for data is reported: a third of a GPU is worth a word"""
DOMINANT = 1 / 2
"""share of the time from which the forward or the backward pass is named"""


class StepSeconds(NamedTuple):
    """Mean seconds of a step's parts."""

    data: float = 0.0
    """waiting for a batch and, on a GPU, copying it there"""
    forward: float = 0.0
    """making views, the networks, the loss"""
    backward: float = 0.0
    """gradients, the optimiser, and what gradients do not move"""

    def as_line(self) -> dict[str, float]:
        """What a line of the log has of them, to the microsecond."""
        return {f"seconds_{part}": round(seconds, 6) for part, seconds in self._asdict().items()}

    @property
    def largest(self) -> tuple[str, float]:
        """The part that takes most, and its share of the step."""
        parts = self._asdict()
        part = max(parts, key=parts.__getitem__)
        return part, parts[part] / max(sum(self), 1e-12)


class StepTimes:
    """Times the parts of steps where they are computed, and never makes the computer wait for that.

    A CPU is done with an operation when the call returns, so its clock is read. A GPU works through a queue: events
    are put into it and read only when the loss has been fetched anyway, so that all before it is done. There a wait for
    data counts only as far as the GPU stood idle. Other devices, whose calls return early, are not timed.

    The first step is left out: it starts worker processes and warms the device up.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device.type
        self._marks: list[tuple[str, Any]] = []
        self._steps: deque[list[tuple[str, Any]]] = deque(maxlen=RECENT)
        self._warm = False

    def begin(self, part: Part) -> None:
        """A part begins, and the one before it has ended."""
        self._marks.append((part, self._mark()))

    def end(self) -> None:
        """The step has ended."""
        self._marks.append(("end", self._mark()))
        if self._warm:
            self._steps.append(self._marks)
        self._warm, self._marks = True, []

    def take(self) -> StepSeconds | None:
        """The mean over the steps since the last call, None where there was none; call it after reading the loss."""
        steps = list(self._steps)
        self._steps.clear()
        if not steps or self._device not in ("cpu", "cuda"):
            return None
        totals = {part: 0.0 for part in StepSeconds._fields}
        for marks in steps:
            for (part, start), (_, end) in pairwise(marks):
                totals[part] += self._seconds(start, end)
        return StepSeconds(**{part: total / len(steps) for part, total in totals.items()})

    def _mark(self) -> Any:
        if self._device == "cpu":
            return time.perf_counter()
        if self._device != "cuda":
            return None
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _seconds(self, start: Any, end: Any) -> float:
        if self._device == "cpu":
            return end - start
        # Returns at once: the loss, which comes later in the queue, has been read.
        end.synchronize()
        return start.elapsed_time(end) / 1000


class Bottleneck:
    """Words for what holds training up.

    Args:
        remedy: what to do where data come too late.
    """

    def __init__(self, remedy: str) -> None:
        self.remedy = remedy
        self._starved = Patience()

    def name(self, seconds: StepSeconds) -> str:
        """A few words for the progress line; empty where no part is long."""
        part, share = seconds.largest
        if part == "data":
            return f"waits for data {share:.0%}: {self.remedy}" if share >= STARVED else ""
        return f"{part} {share:.0%}" if share >= DOMINANT else ""

    def check(self, seconds: StepSeconds, step: int) -> str | None:
        """A warning, once, when data have come too late for a while."""
        part, share = seconds.largest
        if not self._starved.check(part == "data" and share >= STARVED):
            return None
        return f"At step {step}, {share:.0%} of the time goes into waiting for data: {self.remedy}."


def remedy_for(loader: Loader) -> str:
    """What to do where this loader is too slow."""
    if not isinstance(loader.images, FileImages):
        return "choose a smaller --image-size"
    cores = os.cpu_count() or 1
    if loader.workers < cores:
        return f"raise --num-workers ({loader.workers} now, of {cores} cores)"
    return f"choose a smaller --image-size, for --num-workers {loader.workers} keep all {cores} cores busy"
