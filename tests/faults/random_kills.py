"""Kill the command `train` at random instants, resume it, and compare its end with that of a run that nobody killed.

    python tests/faults/random_kills.py --seed 7 --kills 4      # of each of eight methods

Processes are forked after the libraries have been imported, so that kills fall into the command and not into imports.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from faults.processes import end_of, resume, training, write_pictures
from faults.test_kills import METHODS
from likewise import cli

STEPS = 40
fork = multiprocessing.get_context("fork")


def command(words: list[str], log: Path) -> None:
    """One command of likewise, whose output goes to a file."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    cli.main(words[3:])


def started(words: list[str], log: Path) -> multiprocessing.Process:
    process = fork.Process(target=command, args=(words, log))
    process.start()
    return process


def finished(words: list[str], log: Path) -> float:
    """Seconds that a command takes that nobody kills."""
    began = time.monotonic()
    process = started(words, log)
    process.join(600)
    if process.exitcode != 0:
        raise SystemExit(f"exit code {process.exitcode}:\n{log.read_text()[-3000:]}")
    return time.monotonic() - began


def kill_and_compare(
    method: str, pictures: Path, folder: Path, rng: random.Random, kills: int
) -> int:
    """How many of the kills hit a process that was at work; both ends are equal, or this program ends."""
    whole, parts, log = folder / "whole", folder / "parts", folder / "log.txt"
    folder.mkdir()
    given = "--steps", STEPS, "--method", method
    longest = finished(training(pictures, whole, *given), log)
    hits = 0
    for _ in range(kills):
        process = started(training(pictures, parts, *given, *resume(parts)), log)
        time.sleep(rng.uniform(0, longest))
        process.kill()
        process.join(300)
        hits += process.exitcode == -signal.SIGKILL
    finished(training(pictures, parts, *given, *resume(parts)), log)
    if end_of(whole) != end_of(parts):
        raise SystemExit(f"{method}: the ends differ; see {folder}")
    if "Traceback" in log.read_text():
        raise SystemExit(f"{method}: a traceback in {log}")
    return hits


def main() -> None:
    """Every method in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument("--kills", type=int, default=4, help="of each method")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    given = parser.parse_args()
    total = 0
    folder = Path(tempfile.mkdtemp())
    pictures = write_pictures(folder / "pictures")
    os.environ |= {"COLUMNS": "200", "NO_COLOR": "1"}
    for method in given.methods:
        rng = random.Random(f"{given.seed} {method}")
        hits = kill_and_compare(method, pictures, folder / method, rng, given.kills)
        total += hits
        print(f"{method}: {hits} of {given.kills} kills hit, the end is the same", flush=True)
    print(f"{total} kills, every end bit for bit that of the run that nobody killed")


if __name__ == "__main__":
    main()
