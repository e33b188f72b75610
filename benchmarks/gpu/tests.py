"""The tests that need a CUDA device, by pytest in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from gpu.section import Clock, Section

ROOT = Path(__file__).parents[2]
LIMIT = 90.0
LEAST = 20.0
"""seconds; in fewer not even the first test is compiled"""

MARKS = ("on_kernels", "ON_GPU", "torch.cuda.is_available()")
"""Words of test files with cases that only a CUDA device runs."""


def files_with_cases() -> tuple[str, ...]:
    """Test files that say one of `MARKS`, those of kernels first: they are the quickest."""
    found = [file for file in (ROOT / "tests").rglob("test_*.py") if is_for_gpu(file)]
    return tuple(
        str(file) for file in sorted(found, key=lambda file: ("fused" not in file.name, file))
    )


def is_for_gpu(file: Path) -> bool:
    """Whether a test file says so."""
    text = file.read_text()
    return any(mark in text for mark in MARKS)


def run(device: torch.device, clock: Clock, files: tuple[str, ...] = ()) -> None:
    """Which passed and which failed, and the end of pytest's output."""
    if clock.left() < LEAST:
        clock.found["ended"] = f"{clock.left():.0f} s were left: --only tests gives it all"
        return
    command = [
        sys.executable,
        "-m",
        "pytest",
        *(files or files_with_cases()),
        "-vv",
        "--tb=short",
        "--maxfail=20",
        "--continue-on-collection-errors",  # of a file whose packages are not here
        "-p",
        "no:cacheprovider",
    ]
    # Most of the time goes into compiling, which many processes share.
    if importlib.util.find_spec("xdist"):
        command += ["-n", "4"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    log = Path(clock.found.setdefault("log", "pytest_on_gpu.log"))
    with log.open("w") as output:
        try:
            finished = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=output,
                timeout=max(clock.left(), 1.0),
                check=False,
            )
            clock.found["exit status"] = finished.returncode
        except subprocess.TimeoutExpired:
            clock.found["exit status"] = "out of time"
    said = log.read_text(errors="replace")
    clock.found["passed"] = len(re.findall(r"PASSED", said))
    clock.found["failed"] = sorted(set(re.findall(r"(?:FAILED|ERROR) (\S*\.py\S*)", said)))
    clock.found["why"] = re.findall(r"^E  .*", said, re.MULTILINE)[:40]
    clock.found["end"] = said[-3000:]


SECTION = Section(run, LIMIT)
