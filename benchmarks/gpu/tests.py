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

FILES = (
    "tests/views/test_fused.py",
    "tests/training/test_captured_step.py",
    "tests/training/test_batch_norm.py",
    "tests/losses/test_fused_queue_and_clip.py",
    "tests/losses/test_fused_batch.py",
    "tests/losses/test_tiles_triton.py",
)
"""Those with cases that only a CUDA device runs; each says ``on_kernels`` or skips without one."""


def run(device: torch.device, clock: Clock, files: tuple[str, ...] = FILES) -> None:
    """Which passed and which failed, and the end of pytest's output."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        *[file for file in files if (ROOT / file).exists()],
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
