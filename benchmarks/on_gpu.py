"""Everything that a GPU is to tell of likewise, in one run of at most five minutes, into one JSON file.

python benchmarks/on_gpu.py                               # every section
python benchmarks/on_gpu.py --only views,losses           # these alone
python benchmarks/on_gpu.py --out $OUT/on_gpu.json

A section is a file of ``benchmarks/gpu`` with a ``SECTION``. One that fails, or runs out of its time, stops no other;
what it had found by then is kept, with the reason. The file is written after each section, so that a run that is cut
off leaves what came before. `benchmarks/records_on_gpu.py` is for whole training runs.
"""

from __future__ import annotations

import importlib
import json
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from gpu.section import Clock, OutOfTime, Result, Section
from measuring import versions

from likewise.training.launch import machine

NAMES = "tests,views,losses,step"
"""In the order of their turns."""


@dataclass(frozen=True)
class Settings:
    """What to run, and where the result goes."""

    only: str = NAMES
    """sections, with commas between them"""
    out: Path = Path("on_gpu.json")
    """the result's file"""
    limit: float = 290.0
    """seconds for all; a section gets at most what is left"""


def carried_out(section: Section, device: torch.device, clock: Clock) -> None:
    """Fills in a section's findings, and why it ended early if it did."""
    try:
        section.run(device, clock)
    except OutOfTime:
        clock.found["ended"] = "out of time"
    except Exception:
        clock.found["ended"] = traceback.format_exc()[-3000:]
        torch.cuda.empty_cache()


def found_by(name: str, device: torch.device, left: float) -> Result:
    """A section's findings and seconds. One that does not look at its clock is left behind, to run on beside others."""
    start = time.monotonic()
    try:
        section: Section = importlib.import_module(f"gpu.{name}").SECTION
    except Exception:
        return {"ended": traceback.format_exc()[-3000:]}
    limit = min(section.limit, left)
    clock = Clock(start + limit, {})
    worker = threading.Thread(target=carried_out, args=(section, device, clock), daemon=True)
    worker.start()
    worker.join(limit + 10)
    if worker.is_alive():
        clock.found["ended"] = "did not stop in time, and was left behind"
    return {**clock.found, "seconds": round(time.monotonic() - start, 1)}


def about(device: torch.device) -> Result:
    """The machine and the versions."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "device": properties.name,
        "multiprocessors": properties.multi_processor_count,
        "memory": properties.total_memory,
        "machine": machine(),
        "versions": versions(),
    }


def main(settings: Settings) -> None:
    """Run the sections and write the file."""
    if not torch.cuda.is_available():
        print("No CUDA device is here, so nothing was measured.")
        return
    device = torch.device("cuda", torch.cuda.current_device())
    until = time.monotonic() + settings.limit
    result: Result = {"about": about(device)}
    for name in settings.only.split(","):
        result[name] = found_by(name, device, max(1.0, until - time.monotonic()))
        settings.out.write_text(json.dumps(result, indent=1, default=str) + "\n")
        print(f"{name}: {json.dumps(result[name], default=str)[:2500]}", flush=True)
    print(f"written to {settings.out}")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
