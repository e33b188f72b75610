"""Crops from a file's own pixels, or from a stored square: does accuracy differ?

python benchmarks/original_or_squeezed.py --train imagenette-128px-train.parquet --test imagenette-128px-val.parquet

SimCLR without labels on photographs of twice the size that is shown, from scratch, once with --store original and once
with --store squeezed, for each seed: same images, steps, batches and crops. Scores are those of a run on test images:
nearest neighbours, and a linear probe. Nothing is fetched.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
import torch
import tyro
from measuring import versions

import likewise as lw
from likewise.randomness import generator
from likewise.training.launch import machine


@dataclass(frozen=True)
class Settings:
    """What to train on, and how long."""

    train: Path
    """Parquet file with columns image and label"""
    test: Path
    """the same, of test images"""
    out: Path = Path("original_or_squeezed.json")
    """the result's file, written after each run"""
    images: int = 3000
    """training images"""
    tested: int = 1500
    """test images"""
    size: int = 64
    """pixels along a side that are shown; the files have twice as many or more"""
    encoder: str = "conv4"
    """network"""
    steps: int = 250
    """training steps"""
    batch: int = 128
    """images of a step"""
    seeds: int = 3
    """0, 1, ..."""


def write_folder(settings: Settings, folder: Path) -> None:
    """Some images of both files, as files in ``train/CLASS`` and ``test/CLASS``."""
    for part, path, count in (
        ("train", settings.train, settings.images),
        ("test", settings.test, settings.tested),
    ):
        table = pq.read_table(path, columns=["image", "label"])
        rows = (
            torch.randperm(len(table), generator=generator(0, part))[:count].sort().values.numpy()
        )
        for row, example in zip(rows.tolist(), table.take(rows).to_pylist(), strict=True):
            of_class = folder / part / f"class {example['label']}"
            of_class.mkdir(parents=True, exist_ok=True)
            (of_class / f"{row}.jpg").write_bytes(example["image"]["bytes"])


def main(settings: Settings) -> None:
    """Both stores for every seed, in turn."""
    found = []
    with TemporaryDirectory() as temporary:
        photographs = Path(temporary) / "photographs"
        write_folder(settings, photographs)
        for seed in range(settings.seeds):
            for store in ("original", "squeezed"):
                begin = time.perf_counter()
                run = lw.train(
                    photographs, "none", "simclr", Path(temporary) / f"{store} {seed}",
                    store=store, seed=seed, steps=settings.steps, batch_size=settings.batch,
                    image_size=settings.size, encoder=settings.encoder, pretrained="none",
                )  # fmt: skip
                seconds = round(time.perf_counter() - begin, 1)
                found.append({"store": store, "seed": seed, **run.scores, "seconds": seconds})
                print(found[-1], flush=True)
                content = {
                    "machine": machine(),
                    "versions": versions(),
                    "settings": vars(settings),
                    "runs": found,
                }
                settings.out.write_text(json.dumps(content, indent=1, default=str) + "\n")
    for name in ("knn20_top1", "linear_top1"):
        by_store = {
            store: [run[name] for run in found if run["store"] == store]
            for store in ("original", "squeezed")
        }
        differences = np.subtract(by_store["original"], by_store["squeezed"])
        print(
            name,
            "original - squeezed",
            differences.round(4).tolist(),
            "mean",
            differences.mean().round(4),
        )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
