"""Processor time and peak memory of an epoch: from a folder, from local shards, and from shards on a web server.

python benchmarks/streamed_shards.py                             # crops of scikit-learn's two photographs
python benchmarks/streamed_shards.py --photographs FILE.parquet  # a column "image" of JPEG files

The server is a thread of this process, and the cache holds half of the shards: what is measured is our work, not a
network.
"""

from __future__ import annotations

import gc
import io
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import measuring
import numpy as np
import pyarrow.parquet as pq
import tyro
from measuring import Table
from PIL import Image
from sklearn.datasets import load_sample_images

import likewise as lw
from likewise.data.loader import Loader
from likewise.data.open_images import open_images
from likewise.data.sources.shard_cache import ShardCache

FOLDER, LOCAL, SERVED = "folder of JPEG files", "local tar shards", "tar shards from a web server"


@dataclass(frozen=True)
class Settings:
    """What to read."""

    photographs: Path | None = None
    """a Parquet file whose column "image" holds JPEG files as {bytes, path}; default: crops of two photographs"""
    count: int = 2000
    """images"""
    rounds: int = 3
    """epochs that each source is read; the median counts"""
    batch_size: int = 64
    workers: int = 2
    """processes that decode"""


class Epoch:
    """One epoch of a source in this process."""

    def __init__(self, source: str, cache: str, limit: int, settings: Settings) -> None:
        started = time.perf_counter()
        manifest = lw.data.open_manifest(source, cache=ShardCache(Path(cache), limit))
        self.opening = time.perf_counter() - started
        images = open_images(manifest, 128, memory_limit=0)
        buffer = settings.count // 8
        self.loader = Loader(
            images,
            manifest.labels,
            settings.batch_size,
            0,
            workers=settings.workers,
            shuffle_buffer=buffer,
        )

    def run(self) -> dict[str, float]:
        """Images a second, milliseconds of work an image, MB at the peak, seconds to open."""
        started, worked = time.perf_counter(), measuring.processor_seconds()
        read = sum(batch.size for batch in self.loader.batches(0, self.loader.steps_per_epoch))
        rate = read / (time.perf_counter() - started)
        gc.collect()  # the workers end, and count
        work = 1e3 * (measuring.processor_seconds() - worked) / read
        peak = measuring.megabytes("VmHWM")
        return {"rate": rate, "work": work, "peak": peak, "opening": self.opening}


def measured(source: str, cache: str, limit: int, settings: Settings) -> dict[str, float]:
    """What `Epoch.run` gives, in memory that nothing has used before."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    return Epoch(source, cache, limit, settings).run()


def jpegs(settings: Settings) -> Iterator[bytes]:
    """Encoded photographs."""
    if settings.photographs is not None:
        rows = pq.ParquetFile(settings.photographs).iter_batches(256, columns=["image"])
        yield from (cell["bytes"] for batch in rows for cell in batch.column(0).to_pylist())
        return
    first, second = load_sample_images().images
    draw = np.random.default_rng(0)
    for number in range(settings.count):
        top, left = draw.integers(0, 200, 2)
        stream = io.BytesIO()
        Image.fromarray((first, second)[number % 2][top : top + 160, left : left + 213]).save(
            stream, "JPEG"
        )
        yield stream.getvalue()


def main(settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for number, content in zip(range(settings.count), jpegs(settings), strict=False):
            file = root / "photos" / f"{number % 2}" / f"{number:05}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        size = sum(file.stat().st_size for file in (root / "photos").rglob("*.jpg"))
        lw.pack(root / "photos", root / "shards", shard_size=max(size // 16 // 10**6, 1), shuffle=0)
        shards = sorted((root / "shards").glob("*.tar"))
        total = sum(shard.stat().st_size for shard in shards)
        handler = partial(QuietHandler, directory=str(root / "shards"))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        served = (
            f"http://127.0.0.1:{server.server_port}/{{{','.join(shard.name for shard in shards)}}}"
        )
        sources = {FOLDER: str(root / "photos"), LOCAL: str(root / "shards"), SERVED: served}
        found: dict[str, list[dict[str, float]]] = {source: [] for source in sources}
        for _ in range(settings.rounds):
            for source, where in sources.items():
                found[source].append(measured(where, str(root / "cache"), total // 2, settings))
        server.shutdown()
    report(found, len(shards), total, settings)


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder without a line for each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def report(
    found: dict[str, list[dict[str, float]]], shards: int, total: int, settings: Settings
) -> None:
    middle = {
        source: {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
        for source, runs in found.items()
    }
    rows: list[Sequence[str]] = [
        (
            source,
            f"{run['work']:.2f}",
            f"{run['work'] / middle[FOLDER]['work']:.2f}",
            f"{run['rate']:,.0f}",
            f"{run['peak']:,.0f}",
        )
        for source, run in middle.items()
    ]
    notes = [
        f"{settings.count:,} images of {total / settings.count / 1e3:.1f} kB in {shards} shards, decoded to 128 pixels",
        "processor time: of all processes, the thread that serves the shards included; it hardly feels other work",
        f"{settings.workers} workers; an eighth of the images shuffled at a time; the cache holds half of the shards",
    ]
    columns = (
        "source",
        "processor ms an image",
        "of the folder's",
        "images a second",
        "peak MB of the main process",
    )
    measuring.keep(
        "streamed_shards",
        "Shards beyond the disk",
        [Table("An epoch", columns, rows, notes)],
        settings=json.loads(json.dumps(asdict(settings), default=str)),
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
