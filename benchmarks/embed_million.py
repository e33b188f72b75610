"""Rows a second and peak memory of `likewise embed` and `likewise search` over many small images, in one process.

python benchmarks/embed_million.py                      # 20,000, 200,000 and 1,000,000 images
python benchmarks/embed_million.py --counts 100000 300000 --side 8   # printed alone

The images are made: 16 pixels, grey, PNG, in Parquet files. The encoder is conv4-half, untrained but for one step. Each
command runs as a process of its own, whose largest resident memory Linux counts; forked readers are not in it.
Of the largest set `embed` is killed when half of its parts are there, and given again: these parts must stay as they
are, and each image must have one vector.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import measuring
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tyro
from measuring import Table
from PIL import Image

import likewise as lw

SHARD, DISTINCT = 50_000, 4096

PRINTED = ("s", "processor s", "images a second", "peak MB")
"""of each command"""


@dataclass(frozen=True)
class Settings:
    """How many images."""

    counts: tuple[int, ...] = (20_000, 200_000, 1_000_000)
    """images of each set"""
    part_size: int = 50_000
    """images in a part"""
    side: int = 16
    """pixels along a side"""


class Measured(NamedTuple):
    """What one command took."""

    seconds: float
    """that went by"""
    processor: float
    """seconds that it worked, its readers included"""
    megabytes: float
    """its largest resident memory"""


def main(settings: Settings) -> None:
    """Measure sets of each size, and write the result."""
    folder = Path(tempfile.mkdtemp())
    try:
        run = train(folder, settings.side)
        rows, restart = list[Sequence[str]](), list[str]()
        for count in settings.counts:
            data = make(folder / f"images-{count}", count, settings.side)
            query = folder / "query.png"
            query.write_bytes(pngs(settings.side)[7])
            out = folder / f"vectors-{count}"
            words = [
                "embed",
                run,
                str(data),
                "--out",
                str(out),
                "--part-size",
                str(settings.part_size),
            ]
            if count == max(settings.counts):
                embed, note = killed_and_restarted(words, out, -(-count // settings.part_size))
                restart.append(note)
            else:
                embed = measured(words)
            require_each_once(out, count)
            search = measured(["search", run, str(query), "--in", str(out)])
            rows.append(row(count, embed, search))
            shutil.rmtree(out)
            shutil.rmtree(data)
        columns = (
            "images",
            *(f"{name}, {what}" for name in ("embed", "search") for what in PRINTED),
        )
        title = f"conv4-half on {settings.side} px, parts of {settings.part_size:,}, one process"
        notes = [
            "Importing the library takes 0.9 GB and 5 s of these (PyTorch alone 0.5 GB).",
            "Images a second: over the seconds that went by, on a machine that was doing other work too.",
            "Each image has one vector: the ids of all parts were counted.",
            *restart,
        ]
        table = Table(title, columns, rows, notes)
        if settings.counts == Settings.counts:
            measuring.keep("embed_million", "Embedding a million small images", [table])
        else:
            print(table)
    finally:
        shutil.rmtree(folder)


def row(count: int, embed: Measured, search: Measured) -> list[str]:
    """A line of the table."""
    cells = [f"{count:,}"]
    for command in (embed, search):
        rate = f"{count / command.seconds:,.0f}"
        cells += [
            f"{command.seconds:.0f}",
            f"{command.processor:.0f}",
            rate,
            f"{command.megabytes:,.0f}",
        ]
    return cells


def train(folder: Path, side: int) -> str:
    """A run whose encoder reads images of that size."""
    images = np.random.default_rng(0).integers(0, 256, (64, side, side), dtype=np.uint8)
    given = {
        "encoder": "conv4-half",
        "steps": 1,
        "batch_size": 32,
        "num_evals": 0,
        "device": "cpu",
        "loggers": (),
    }
    run = lw.train(images, labels="none", method="simclr", out=folder / "run", **given)
    return str(run.folder.path)


def pngs(side: int) -> list[bytes]:
    """Images of noise, each a file."""
    random, files = np.random.default_rng(0), []
    for _ in range(DISTINCT):
        out = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (side, side), dtype=np.uint8)).save(out, "PNG")
        files.append(out.getvalue())
    return files


def make(folder: Path, count: int, side: int) -> Path:
    """A folder of Parquet files with so many images, of which some thousand are distinct."""
    folder.mkdir()
    files = pngs(side)
    for first in range(0, count, SHARD):
        numbers = range(first, min(first + SHARD, count))
        cells = [{"bytes": files[number % DISTINCT], "path": None} for number in numbers]
        table = pa.table({"image": cells, "label": [number % 10 for number in numbers]})
        pq.write_table(table, folder / f"train-{first // SHARD:05d}.parquet", row_group_size=1000)
    return folder


def measured(words: list[str]) -> Measured:
    """A command of likewise in a process of its own."""
    began = time.perf_counter()
    found, status = ended(started(words), began)
    if status:
        raise SystemExit(f"likewise {' '.join(words)} failed")
    return found


def started(words: list[str]) -> subprocess.Popen[bytes]:
    """The process of a command."""
    command = [sys.executable, "-m", "likewise.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def ended(process: subprocess.Popen[bytes], began: float) -> tuple[Measured, int]:
    """What a process took until its end, and how it ended."""
    megabytes = 0.0
    while True:
        megabytes = max(megabytes, peak(process.pid))
        time.sleep(0.02)
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            seconds = time.perf_counter() - began
            return Measured(seconds, used.ru_utime + used.ru_stime, megabytes), status


def peak(pid: int) -> float:
    """The largest resident memory of a process so far, in megabytes; 0 where it has ended.

    The ``ru_maxrss`` of a child counts the memory of the process that started it, which is this one.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0


def killed_and_restarted(words: list[str], out: Path, parts: int) -> tuple[Measured, str]:
    """Kill an embedding half-way and give its command again: what both took, and what became of the finished parts."""
    began = time.perf_counter()
    process = started(words)
    while process.poll() is None and len(written(out)) < parts // 2:
        time.sleep(0.1)
    process.kill()
    before = written(out)
    first, status = ended(process, began)
    if status != signal.SIGKILL:
        raise SystemExit("embed ended before it was killed")
    second = measured(words)
    after = written(out)
    if not before or before != {name: after[name] for name in before}:
        raise SystemExit("parts that were there before the kill were written again")
    note = (
        f"The largest: killed (SIGKILL) with {len(before)} of {parts} parts there, then restarted; these files kept "
        f"their inodes and times, {len(after) - len(before)} were added. Both processes count."
    )
    megabytes = max(first.megabytes, second.megabytes)
    processor = first.processor + second.processor
    return Measured(first.seconds + second.seconds, processor, megabytes), note


def written(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each finished part."""
    files = [(file.name, file.stat()) for file in out.glob("part-*.parquet")]
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in files}


def require_each_once(out: Path, count: int) -> None:
    """Refuse vectors of which an image has none or two."""
    seen = set[str]()
    for file in sorted(out.glob("part-*.parquet")):
        ids = pq.read_table(file, columns=["id"])["id"].to_pylist()
        if seen.intersection(ids) or len(set(ids)) < len(ids):
            raise SystemExit(f"{file} holds an image that is embedded already")
        seen.update(ids)
    if len(seen) != count:
        raise SystemExit(f"{len(seen):,} of {count:,} images have a vector")


if __name__ == "__main__":
    main(tyro.cli(Settings))
