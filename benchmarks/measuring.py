"""How every benchmark here measures: all candidates in one run, interleaved; medians; the result is a file.

`docs/performance.md` is made from those files by `make docs`, so that each number has its machine and day.
"""

from __future__ import annotations

import datetime
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table as Screen

from likewise.training.launch import machine

RESULTS = Path(__file__).parent / "results"

Clock = Literal["wall", "processor"]
"""Seconds that go by, or seconds that the process works: the second hardly feels what else runs on the machine."""


def seconds(work: Callable[[], object], clock: Clock = "wall") -> float:
    """How long one call takes, on a GPU until its last kernel ends."""
    now = time.perf_counter if clock == "wall" else time.process_time
    start = now()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return now() - start


def in_turns(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Clock = "wall",
    warm_up: int = 1,
) -> dict[str, float]:
    """Median seconds of each candidate; each gets one call a round, and the first rounds do not count.

    The order rotates by one each round, so that no candidate always follows the same one.
    """
    names = list(candidates)
    times: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    for turn in range(warm_up + rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            spent = seconds(candidates[name], clock)
            if turn >= warm_up:
                times[name].append(spent)
    return {name: statistics.median(values) for name, values in times.items()}


def processor_seconds() -> float:
    """Seconds that this process has worked, and those of its children that have ended."""
    return sum(os.times()[:4])


def megabytes(name: str) -> float:
    """A line of Linux's record of this process's memory, such as VmRSS, or VmHWM for the most it has ever held.

    ``ru_maxrss`` would begin with what its parent had held.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1e3


@dataclass
class Table:
    """One table of results; cells are printed as they are."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Claim:
    """A target, and what was measured."""

    claim: str
    """in words, with its number"""
    wanted: float
    """the number"""
    measured: float | None
    """None: it could not be measured here, and ``note`` says why"""
    at_least: bool = True
    """whether more is better"""
    note: str = ""

    @property
    def verdict(self) -> str:
        """holds, does not hold, or not measured."""
        if self.measured is None:
            return "not measured"
        fine = self.measured >= self.wanted if self.at_least else self.measured <= self.wanted
        return "holds" if fine else "does not hold"


def keep(
    name: str, title: str, tables: Sequence[Table], claims: Sequence[Claim] = (), **facts: Any
) -> Path:
    """Print the tables, and write ``benchmarks/results/<name>.json`` with the machine, the versions and the day.

    Args:
        name: of the file; a later run of the same benchmark replaces it, another machine's should have its own.
        title: heading on the page.
        tables: what was measured.
        claims: the targets.
        facts: anything else that a reader needs, such as the precision.
    """
    console = Console(width=160)
    for table in tables:
        screen = Screen(*table.columns, title=table.title, caption="\n".join(table.notes) or None)
        for row in table.rows:
            screen.add_row(*row)
        console.print(screen)
    for claim in claims:
        measured = "" if claim.measured is None else f" ({claim.measured:.3g})"
        console.print(
            f"{claim.verdict}{measured}: {claim.claim} {claim.note}".rstrip(), highlight=False
        )
    content = {
        "title": title,
        "measured": {
            "day": datetime.date.today().isoformat(),
            "machine": machine(),
            "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            "threads": torch.get_num_threads(),
            "versions": versions(),
            **facts,
        },
        "tables": [asdict(table) for table in tables],
        "claims": [asdict(claim) | {"verdict": claim.verdict} for claim in claims],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    console.print(
        f"written to {path.relative_to(RESULTS.parents[1])}; `make docs` publishes it",
        highlight=False,
    )
    return path


def versions() -> dict[str, str]:
    """Of us, PyTorch and the peers that are installed."""
    names = (
        "likewise torch torchvision lightly pytorch-metric-learning kornia albumentations "
        "opencv-python-headless pillow"
    )
    found = {}
    for name in names.split():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
