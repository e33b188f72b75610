"""Damage valid inputs at random and see whether the readers read them, name what is unreadable, or refuse them.

    python tests/fuzz/run.py --seconds 600          # ten minutes; findings go to fuzz-findings/
    python tests/fuzz/run.py --case 1234            # one case again, with its traceback

Findings are other exceptions than LikewiseError, 5 seconds of CPU, a gigabyte of memory, a crash of the process, and
rows whose pixels are not those of the file that they are named after. A case is a function of its number alone.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.mutations import mutated
from fuzz.reading import Reading, check, read
from fuzz.seeds import Seed, all_seeds, strangers, write

CPU_SECONDS, MEMORY = 5.0, 2**30
"""what one input may cost"""
STRANGERS = strangers()


class Case(NamedTuple):
    """One damaged input."""

    seed: Seed
    files: dict[str, bytes]
    damaged: str


def make_case(number: int, seeds: list[Seed]) -> Case:
    """The case of some number."""
    chance = random.Random(number)
    seed = seeds[number % len(seeds)]
    damaged = chance.choice(sorted(seed.hurt or seed.files))
    return Case(
        seed, {**seed.files, damaged: mutated(seed.files[damaged], chance, STRANGERS)}, damaged
    )


def read_case(case: Case, whole: Reading) -> str:
    """What became of a case, in a word.

    Raises:
        Exception: a finding.
    """
    with tempfile.TemporaryDirectory() as folder:
        write(case.seed, case.files, Path(folder))
        found = read(Path(folder), case.seed.opened, case.seed.labels, case.seed.captions)
    check(found, whole, case.damaged)
    if found.refused:
        return "refused"
    return "named" if found.named else "read"


def read_whole(seeds: list[Seed]) -> dict[str, Reading]:
    """What becomes of the seeds before they are damaged."""
    readings = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            write(seed, seed.files, Path(folder))
            readings[seed.name] = read(Path(folder), seed.opened, seed.labels, seed.captions)
        if readings[seed.name].refused or readings[seed.name].named:
            print(
                f"{seed.name} is not read whole: {readings[seed.name].refused or readings[seed.name].named}"
            )
    return readings


def work(
    numbers: range, seeds: list[Seed], readings: Mapping[str, Reading], pipe: Connection
) -> None:
    """Read cases one after another, and tell of each when it begins and how it ended."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libraries in C write
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in numbers:
        case = make_case(number, seeds)
        start = time.process_time()
        pipe.send(("begins", number, ""))
        try:
            outcome, detail = read_case(case, readings[case.seed.name]), ""
        except BaseException:
            outcome, detail = "finding", traceback.format_exc()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        spent = time.process_time() - start
        if outcome != "finding" and spent > CPU_SECONDS:
            outcome, detail = "finding", f"{spent:.1f} seconds of CPU\n"
        if outcome != "finding" and grown > MEMORY:
            outcome, detail = "finding", f"{grown / 2**30:.1f} GB of memory\n"
        pipe.send((outcome, number, detail))
        if grown > MEMORY:
            return


class Worker:
    """A process that reads cases, watched from outside."""

    def __init__(self, numbers: range, seeds: list[Seed], readings: Mapping[str, Reading]) -> None:
        self.pipe, other = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("fork")
        self.process = context.Process(
            target=work, args=(numbers, seeds, readings, other), daemon=True
        )
        self.process.start()
        other.close()
        self.number = numbers.start
        self.memory, self.cpu = self.usage()

    def usage(self) -> tuple[int, float]:
        """Bytes of memory and seconds of CPU so far."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):  # it has ended
            return 0, 0.0
        ticks = int(fields[11]) + int(fields[12])
        return pages * resource.getpagesize(), ticks / os.sysconf("SC_CLK_TCK")

    def next_outcome(self) -> tuple[str, int, str]:
        """How the next case ended; a process that costs too much is ended."""
        while True:
            while not self.pipe.poll(0.05):
                memory, cpu = self.usage()
                if memory - self.memory > MEMORY or cpu - self.cpu > CPU_SECONDS:
                    self.process.kill()
                    used = f"{(memory - self.memory) / 2**30:.1f} GB, {cpu - self.cpu:.1f} seconds of CPU"
                    return "finding", self.number, f"{used}: still at work\n"
            try:
                outcome, number, detail = self.pipe.recv()
            except EOFError:
                self.process.join()
                return (
                    "finding",
                    self.number,
                    f"the process ended with code {self.process.exitcode}\n",
                )
            self.number = number
            if outcome != "begins":
                return outcome, number, detail
            self.memory, self.cpu = self.usage()


def fuzz(seconds: float, first: int, out: Path) -> int:
    """Read cases for some time; the number of findings."""
    seeds = all_seeds()
    readings = read_whole(seeds)
    end, outcomes, kinds = time.monotonic() + seconds, Counter[str](), Counter[str]()
    number, last = first, first + 10**9
    worker = Worker(range(number, last), seeds, readings)
    while time.monotonic() < end:
        outcome, number, detail = worker.next_outcome()
        outcomes[outcome] += 1
        if outcome == "finding":
            kind = f"{seeds[number % len(seeds)].name}: {detail.strip().splitlines()[-1]}"
            kinds[kind] += 1
            if kinds[kind] == 1:
                store(make_case(number, seeds), number, detail, out)
                print(f"case {number}: {kind}", flush=True)
        if not worker.process.is_alive() and not worker.pipe.poll():
            worker = Worker(range(number + 1, last), seeds, readings)
    worker.process.kill()
    print(f"{sum(outcomes.values()):,} cases from {first:,} to {number:,}: {dict(outcomes)}")
    for kind, count in kinds.most_common():
        print(f"{count:6}  {kind}")
    return outcomes["finding"]


def store(case: Case, number: int, detail: str, out: Path) -> None:
    """The damaged input and what happened, to be looked at."""
    folder = out / str(number)
    shutil.rmtree(folder, ignore_errors=True)
    write(case.seed, case.files, folder)
    (folder / "finding.txt").write_text(f"{case.seed.name}, {case.damaged}\n{detail}")


def main() -> None:
    """Words to work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long to go on")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="read this case alone, in this process")
    parser.add_argument(
        "--out", type=Path, default=Path("fuzz-findings"), help="folder for findings"
    )
    given = parser.parse_args()
    if given.case is None:
        raise SystemExit(1 if fuzz(given.seconds, given.first, given.out) else 0)
    seeds = all_seeds()
    case = make_case(given.case, seeds)
    print(f"{case.seed.name}, {case.damaged} damaged")
    print(read_case(case, read_whole([case.seed])[case.seed.name]))


if __name__ == "__main__":
    main()
