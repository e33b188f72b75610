"""What a section of ``benchmarks/on_gpu.py`` is, and how it measures."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Result = dict[str, Any]
"""What a section found: numbers and words by name, nested as it likes, as JSON holds them."""


class OutOfTime(Exception):
    """A section's time is up; what it kept in its `Clock` is reported all the same."""


@dataclass
class Clock:
    """A section's time and its findings so far."""

    until: float
    """``time.monotonic()`` at which it is to stop"""
    found: Result
    """everything to report; fill it as you go, so that a section that fails or runs out of time loses nothing"""

    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()

    def check(self) -> None:
        """Call it between measurements.

        Raises:
            OutOfTime: no time is left.
        """
        if self.left() <= 0:
            raise OutOfTime


@dataclass(frozen=True)
class Section:
    """One part of the run."""

    run: Callable[[torch.device, Clock], None]
    """fills ``Clock.found``"""
    limit: float
    """seconds after which it is to stop"""


def not_measured(reason: object) -> Result:
    """What a section keeps where something is missing here, such as a package."""
    return {"not measured": str(reason)[:300]}


def take_turns(title: str, work: Mapping[str, Callable[[], Any]], clock: Clock) -> None:
    """One measurement after the other, each printed at once; one that fails stops no other.

    Raises:
        OutOfTime: no time is left for the next.
    """
    for name, measure in work.items():
        clock.check()
        try:
            clock.found[name] = measure()
        except OutOfTime:
            raise
        except ImportError as missing:
            clock.found[name] = not_measured(missing)
        except Exception as error:
            clock.found[name] = {"ended": repr(error)[:600]}
        print(f"{title}, {name}: {json.dumps(clock.found[name], default=str)}", flush=True)


def milliseconds(work: Callable[[], object], repeats: int = 20, warm_up: int = 3) -> float:
    """Median of one call by events on the device, launches included: what the host does late, the device waits for."""
    for _ in range(warm_up):
        work()
    spent = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        end.synchronize()
        spent.append(start.elapsed_time(end))
    return statistics.median(spent)


def graph_milliseconds(work: Callable[[], object], calls: int = 10, repeats: int = 10) -> float:
    """Median of one call inside a CUDA graph of so many calls: the device's own time, without the host's.

    ``work`` must not wait for the device, nor copy from memory that is not pinned.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            work()
    return milliseconds(graph.replay, repeats) / calls


def copy_speed(device: torch.device, size: int = 2**30) -> float:
    """Bytes a second of a large copy on the device, read and written: the ceiling of what only moves bytes."""
    source = torch.empty(size, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    return 2 * size / (milliseconds(lambda: target.copy_(source), 10) / 1e3)
