"""Everything that a GPU is to tell of likewise, in one run of at most five minutes, into one JSON file.

python benchmarks/on_gpu.py --check                       # a quarter of a minute: is all that the rest needs here?
python benchmarks/on_gpu.py                               # every section
python benchmarks/on_gpu.py --only views,losses           # these alone
python benchmarks/on_gpu.py --only batch_norm,transformer # no time is left for them above
python benchmarks/on_gpu.py --out $OUT/on_gpu.json

A section is a file of ``benchmarks/gpu`` with a ``SECTION``. One that fails, or runs out of its time, stops no other;
what it had found by then is kept, with the reason. The file is written after each section, so that a run that is cut
off leaves what came before. At the end stand the aims, each with what was measured. ``benchmarks/keep_gpu_results.py``
puts it all into the documentation. `benchmarks/records_on_gpu.py` is for whole training runs.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu.packages import naming_what_is_missing

with naming_what_is_missing():
    import torch
    import tyro
    from gpu import aims
    from gpu.section import Clock, OutOfTime, Result, Section
    from measuring import versions

    from likewise.training.launch import machine

MORE = "batch_norm,transformer"
"""Sections that are run where they are named."""
NAMES = "step,views,losses,large_losses,scoring,around,tests"
"""In the order of their turns, by what is asked most. The tests take a minute alone; they get what is left."""
CHECK = "check"


@dataclass(frozen=True)
class Settings:
    """What to run, and where the result goes."""

    only: str = NAMES
    """sections, with commas between them; one alone gets all of the time"""
    check: bool = False
    """run the section "check" alone, which says what is missing and what does not work"""
    out: Path = Path("on_gpu.json")
    """the result's file"""
    limit: float = 290.0
    """seconds for all; a section gets at most what is left"""
    device: str = "cuda"
    """cpu to try the script itself"""
    section: str = ""
    """run this one in this process; for the script itself"""

    @property
    def sections(self) -> list[str]:
        """Names of those that are wanted."""
        return [CHECK] if self.check else [name.strip() for name in self.only.split(",")]


GRACE = 8.0
"""seconds that a section may be late before it is killed"""


def found_by(name: str, left: float, settings: Settings) -> Result:
    """A section's findings and seconds, from a process of its own, which is ended where it does not stop in time.

    Profilers and compilers want the main thread, and a section that hangs must not hold up the others.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        words = [
            "--section",
            name,
            "--out",
            str(file),
            "--limit",
            str(left),
            "--only",
            settings.only,
        ]
        command = [sys.executable, __file__, *words, "--device", settings.device]
        ended = ended_by(command, left + GRACE)
        found: Result = (
            json.loads(file.read_text()) if file.exists() else {"ended": "it wrote nothing"}
        )
    if ended:
        found["ended"] = ended
    return {**found, "seconds": round(time.monotonic() - start, 1)}


def ended_by(command: list[str], limit: float) -> str:
    """Run a command; why it ended, where it did not by itself. Its own processes end with it."""
    process = subprocess.Popen(command, start_new_session=True)
    try:
        status = process.wait(limit)
        return f"its process ended with {status}" if status else ""
    except subprocess.TimeoutExpired:
        return "did not stop in time, and was killed"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run_section(name: str, settings: Settings, device: torch.device) -> None:
    """One section in this process; what it has found is written every second, for it may be killed."""
    clock = Clock(time.monotonic() + settings.limit, {})
    threading.Thread(target=write_repeatedly, args=(clock, settings.out), daemon=True).start()
    try:
        section: Section = importlib.import_module(f"gpu.{name}").SECTION
        if settings.only != name:
            clock.until = min(clock.until, time.monotonic() + section.limit)
        section.run(device, clock)
    except OutOfTime:
        clock.found["ended"] = "out of time"
    except Exception:
        clock.found["ended"] = traceback.format_exc()[-3000:]
    write(clock.found, settings.out)


def write_repeatedly(clock: Clock, file: Path) -> None:
    """Keep the file up to date."""
    while True:
        time.sleep(1)
        # While the section adds to it this may fail; a second later it is tried again.
        with suppress(RuntimeError):
            write(clock.found, file)


def write(found: Result, file: Path) -> None:
    """The findings so far, whole or not at all."""
    partial = file.with_suffix(f".{threading.get_ident()}")
    partial.write_text(json.dumps(dict(found), indent=1, default=str) + "\n")
    partial.replace(file)


def about(device: torch.device) -> Result:
    """The machine and the versions."""
    found: dict[str, Any] = {"device": "CPU", "machine": machine(), "versions": versions()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "device": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory": properties.total_memory,
            "cuda": torch.version.cuda,
        }
    return found


def refuse_unknown(names: list[str]) -> None:
    """Before any is begun.

    Raises:
        SystemExit: there is no section of one of the names.
    """
    for name in names:
        known = f"gpu.{name}" in sys.modules or importlib.util.find_spec(f"gpu.{name}")
        if not known:
            raise SystemExit(
                f"--only {name}: there is no such section. Give some of {NAMES},{MORE}."
            )


def all_sections(settings: Settings, device: torch.device) -> Result:
    """What each found, and the aims; written after each."""
    until = time.monotonic() + settings.limit
    result: Result = {"day": time.strftime("%Y-%m-%d"), "about": about(device)}
    with tempfile.TemporaryDirectory() as compiled:
        # Empty, so that the first start is a first one, and shared, so that the next section's is not.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = compiled
        for name in settings.sections:
            result[name] = found_by(name, max(1.0, until - time.monotonic() - GRACE), settings)
            result["aims"] = aims.judged(result)
            write(result, settings.out)
            print(f"{name}: {json.dumps(result[name], default=str)[:2500]}", flush=True)
    return result


def main(settings: Settings) -> None:
    """Run the sections and write the file.

    Raises:
        SystemExit: there is no GPU, or no such section.
    """
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "No CUDA device is here, so nothing was measured. Run it where PyTorch sees a GPU; --device cpu tries the "
            "script alone."
        )
    device = torch.device(settings.device, 0)  # named without starting CUDA, for a section may fork
    if settings.section:
        run_section(settings.section, settings, device)
        return
    refuse_unknown(settings.sections)
    result = all_sections(settings, device)
    if not settings.check:
        print(aims.table(result["aims"]), flush=True)
    print(f"written to {settings.out}")


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
