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
import subprocess
import sys
import tempfile
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

NAMES = "losses,views,step,scoring,tests"
"""In the order of their turns: first what tells whether the kernels are right. The tests take a minute alone; they get
what is left, or all of it with ``--only tests``."""


@dataclass(frozen=True)
class Settings:
    """What to run, and where the result goes."""

    only: str = NAMES
    """sections, with commas between them"""
    out: Path = Path("on_gpu.json")
    """the result's file"""
    limit: float = 290.0
    """seconds for all; a section gets at most what is left"""
    section: str = ""
    """run this one in this process; for the script itself"""


GRACE = 8.0
"""seconds that a section may be late before it is killed"""


def found_by(name: str, left: float) -> Result:
    """A section's findings and seconds, from a process of its own, which is ended where it does not stop in time.

    Profilers and compilers want the main thread, and a section that hangs must not hold up the others.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        command = [
            sys.executable,
            __file__,
            "--section",
            name,
            "--out",
            str(file),
            "--limit",
            str(left),
        ]
        ended = None
        try:
            subprocess.run(command, timeout=left + GRACE, check=False)
        except subprocess.TimeoutExpired:
            ended = "did not stop in time, and was killed"
        found: Result = (
            json.loads(file.read_text()) if file.exists() else {"ended": "it wrote nothing"}
        )
    if ended:
        found["ended"] = ended
    return {**found, "seconds": round(time.monotonic() - start, 1)}


def run_section(name: str, settings: Settings, device: torch.device) -> None:
    """One section in this process; what it has found is written every second, for it may be killed."""
    clock = Clock(time.monotonic() + settings.limit, {})
    threading.Thread(target=write_repeatedly, args=(clock, settings.out), daemon=True).start()
    try:
        section: Section = importlib.import_module(f"gpu.{name}").SECTION
        clock.until = min(clock.until, time.monotonic() + section.limit)
        section.run(device, clock)
    except OutOfTime:
        clock.found["ended"] = "out of time"
    except Exception:
        clock.found["ended"] = traceback.format_exc()[-3000:]
    write(clock, settings.out)


def write_repeatedly(clock: Clock, file: Path) -> None:
    """Keep the file up to date."""
    while True:
        time.sleep(1)
        write(clock, file)


def write(clock: Clock, file: Path) -> None:
    """The findings so far, whole or not at all."""
    partial = file.with_suffix(f".{threading.get_ident()}")
    partial.write_text(json.dumps(dict(clock.found), indent=1, default=str) + "\n")
    partial.replace(file)


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
    if settings.section:
        run_section(settings.section, settings, device)
        return
    until = time.monotonic() + settings.limit
    result: Result = {"about": about(device)}
    for name in settings.only.split(","):
        result[name] = found_by(name, max(1.0, until - time.monotonic() - GRACE))
        settings.out.write_text(json.dumps(result, indent=1, default=str) + "\n")
        print(f"{name}: {json.dumps(result[name], default=str)[:2500]}", flush=True)
    print(f"written to {settings.out}")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
