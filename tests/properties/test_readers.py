"""One set of pictures, stored in every way, is read as the same pixels, labels and names."""

from __future__ import annotations

import csv
import gzip
import io
import random
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import strategies as some
from PIL import Image

from likewise.data.manifest import Manifest
from likewise.data.sources.idx import read_idx
from likewise.data.sources.open import open_manifest
from properties.holding import holds

LETTERS = some.characters(categories=("L", "N"), include_characters=" -_,;'&=<>")
RESERVED = {"train", "training", "val", "valid", "validation", "dev", "test", "testing", "unlabeled", "unlabelled",
            "nan", "none", "null", "na", "n/a", "-1"}  # fmt: skip
NAMES = some.text(LETTERS, min_size=1, max_size=8).filter(
    lambda name: name == name.strip() and name.casefold() not in RESERVED
)
"""classes"""


class Stored(NamedTuple):
    """Pictures and what they are called."""

    pixels: np.ndarray
    """uint8 [N, H, W, 3]"""
    classes: list[str]
    """the class of each"""
    seed: int
    """of the order in which they are written"""


@some.composite
def stored(draw: some.DrawFn) -> Stored:
    count = draw(some.integers(2, 7))
    height = draw(some.integers(2, 6))
    width = draw(some.integers(2, 6))
    seed = draw(some.integers(0, 1000))
    pixels = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    known = draw(some.lists(NAMES, min_size=1, max_size=3, unique_by=str.casefold))
    return Stored(pixels, [known[i % len(known)] for i in range(count)], seed)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def require_same(found: Manifest, given: Stored, order: list[int] | None = None) -> None:
    """Row by row the given pictures and classes, in the order of the names or in ``order``."""
    order = list(range(len(given.pixels))) if order is None else order
    assert not found.skipped
    assert len(found) == len(order)
    classes = [found.class_names[label] for label in found.labels.tolist()]
    assert classes == [given.classes[i] for i in order]
    for row, i in enumerate(order):
        assert np.array_equal(found.pixels.read(row).pixels, given.pixels[i])


@holds(stored())
def test_folders_of_classes(given):
    with tempfile.TemporaryDirectory() as name:
        folder, ids = Path(name), []
        for i in shuffled(given):
            ids.append(f"{given.classes[i]}/{i}.png")
            (folder / given.classes[i]).mkdir(exist_ok=True)
            (folder / ids[-1]).write_bytes(png(given.pixels[i]))
        found = open_manifest(folder)
        assert sorted(found.ids) == sorted(ids)
        require_same(found, given, [int(Path(entry).stem) for entry in found.ids])


@holds(
    stored(),
    some.sampled_from(["utf-8", "utf-8-sig"]),
    some.sampled_from(["\n", "\r\n"]),
    some.booleans(),
)
def test_label_files(given, encoding, line_end, quoted):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for i, pixels in enumerate(given.pixels):
            (folder / f"{i}.png").write_bytes(png(pixels))
        order = shuffled(given)
        text = io.StringIO()
        quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
        lines = csv.writer(text, lineterminator=line_end, quoting=quoting)
        lines.writerows([("image_path", "label"), *((f"{i}.png", given.classes[i]) for i in order)])
        (folder / "labels.csv").write_bytes(text.getvalue().encode(encoding))
        alone = open_manifest(folder / "labels.csv")
        require_same(alone, given, [int(Path(entry).stem) for entry in alone.ids])
        require_same(open_manifest(folder, folder / "labels.csv"), given)


@holds(stored())
def test_tar_archives(given):
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "train.tar")
        with tarfile.open(file, "w") as archive:
            for i, pixels in enumerate(given.pixels):
                parts = [("png", png(pixels)), ("cls", given.classes[i].encode()), ("other", b"?")]
                for ending, content in random.Random(given.seed + i).sample(parts, 3):
                    entry = tarfile.TarInfo(f"{i:02}.{ending}")
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
        # a class that is a number is one: 7 and 07 are then the same
        if not all(label.isdecimal() for label in given.classes):
            require_same(open_manifest(file), given)


@holds(
    stored(), some.integers(1, 4), some.sampled_from(["none", "snappy", "zstd"]), some.booleans()
)
def test_parquet_files(given, rows, compression, packed):
    images = [{"bytes": png(pixels), "path": None} for pixels in given.pixels]
    table = pa.table(
        {
            "image": images if packed else [image["bytes"] for image in images],
            "label": given.classes,
        }
    )
    with tempfile.TemporaryDirectory() as name:
        half = len(images) // 2
        for part, piece in enumerate((table[:half], table[half:])):
            pq.write_table(
                piece, Path(name, f"{part}.parquet"), row_group_size=rows, compression=compression
            )
        require_same(open_manifest(name), given)


@holds(stored(), some.sampled_from(["array", "tensor", "npz", "pt"]))
def test_arrays(given, kind):
    planes = torch.from_numpy(given.pixels).permute(0, 3, 1, 2)
    numbers = np.array([sorted(set(given.classes)).index(name) for name in given.classes])
    named = given._replace(classes=[str(number) for number in numbers])
    with tempfile.TemporaryDirectory() as name:
        data: object = (
            (given.pixels, numbers) if kind == "array" else (planes, torch.from_numpy(numbers))
        )
        if kind == "npz":
            np.savez(Path(name, "x.npz"), images=given.pixels, labels=numbers)
        if kind == "pt":
            torch.save({"images": planes, "labels": torch.from_numpy(numbers)}, Path(name, "x.pt"))
        require_same(
            open_manifest(Path(name, f"x.{kind}") if kind in ("npz", "pt") else data), named
        )


@holds(some.lists(some.integers(0, 5), min_size=1, max_size=4), some.integers(0, 100))
def test_idx(shape, seed):
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    content = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">i4").tobytes() + values.tobytes()
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "x.gz")
        file.write_bytes(gzip.compress(content))
        assert np.array_equal(read_idx(file), values)
        assert read_idx(file).shape == values.shape


def shuffled(given: Stored) -> list[int]:
    return random.Random(given.seed).sample(range(len(given.classes)), len(given.classes))
