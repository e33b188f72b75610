"""Copies of pictures that `likewise doctor` finds, of each kind, what it accuses wrongly, and how long it takes.

python benchmarks/near_duplicates.py --data FOLDER                  # made copies found, pairs in sets as they are
python benchmarks/near_duplicates.py --data FOLDER --sheets FOLDER  # these pairs as pictures, to be judged by eye
python benchmarks/near_duplicates.py --data FOLDER --large 100000   # time and memory of that many images

The folder holds Parquet files of images as {bytes, path} in a column "image": see SETS.
"""

from __future__ import annotations

import io
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import measuring
import numpy as np
import pyarrow.parquet as pq
import tyro
from measuring import Claim, Table
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from likewise.data.checks.doctor import examine
from likewise.data.checks.near_duplicates import Copy, find_copies, thumbnail
from likewise.data.sources.open import open_manifest

SETS = {
    "CIFAR-10 (JPEG)": ["cifar10-jpeg75-train.parquet"],
    "Imagenette 128 px": ["imagenette-128px-train.parquet", "imagenette-128px-val.parquet"],
    "Flickr8k 96 px": ["flickr8k-96px.parquet"],
    "CamVid 240 x 180": [f"camvid-240x180-{split}.parquet" for split in ("train", "val", "test")],
}
SHEET_PAIRS, SHEET_COLUMNS, SHEET_SIDE = 120, 6, 80


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    data: Path
    """folder of the Parquet files"""
    most: int = 20_000
    """images of each set"""
    copies: int = 500
    """images of each set of which a copy of each kind is made"""
    sheets: Path | None = None
    """folder for pictures of the pairs in unmodified sets"""
    large: int = 0
    """measure time and memory of so many images instead: CIFAR-10 and mirrored copies of it"""


def encoded(picture: Image.Image, quality: int = 75) -> bytes:
    """A JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def recoded(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Decoded from a JPEG of quality 30."""
    return opened(encoded(picture, 30))


def resized(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """To six tenths of each side."""
    return picture.resize(
        (round(0.6 * picture.width), round(0.6 * picture.height)), Image.Resampling.BICUBIC
    )


def brightened(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """By three tenths, up or down."""
    return ImageEnhance.Brightness(picture).enhance(rng.choice([0.7, 1.3]))


def contrasted(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """By four tenths, up or down."""
    return ImageEnhance.Contrast(picture).enhance(rng.choice([0.6, 1.4]))


def mirrored(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Left and right exchanged."""
    return ImageOps.mirror(picture)


def turned(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """By one, two or three quarters."""
    return picture.rotate(90 * int(rng.integers(1, 4)), expand=True)


def cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Nine tenths of each side, anywhere."""
    width, height = round(0.9 * picture.width), round(0.9 * picture.height)
    left = int(rng.integers(picture.width - width + 1))
    top = int(rng.integers(picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height))


def cropped_on_one_side(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A tenth is lost on the left, above, on the right or below."""
    box = [0, 0, picture.width, picture.height]
    side = int(rng.integers(4))
    box[side] += round((0.1 if side < 2 else -0.1) * (picture.width, picture.height)[side % 2])
    return picture.crop((box[0], box[1], box[2], box[3]))


def mirrored_and_cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Both."""
    return mirrored(cropped(picture, rng), rng)


CHANGES: dict[str, tuple[Callable[[Image.Image, np.random.Generator], Image.Image], str]] = {
    "JPEG of quality 30": (recoded, "same"),
    "resized to 0.6": (resized, "same"),
    "brightness 0.7 or 1.3": (brightened, "same"),
    "contrast 0.6 or 1.4": (contrasted, "same"),
    "mirrored": (mirrored, "mirrored"),
    "turned by 90, 180 or 270 degrees": (turned, "turned"),
    "cropped to 0.9 of each side": (cropped, "cropped"),
    "cropped by a tenth on one side": (cropped_on_one_side, "cropped"),
    "mirrored and cropped": (mirrored_and_cropped, "mirrored"),
}
"""each with the kind by which it should be reported; all but the first two are saved as JPEG of quality 75"""


def opened(content: bytes) -> Image.Image:
    """A decoded picture."""
    return Image.open(io.BytesIO(content)).convert("RGB")


def pictures(folder: Path, names: Sequence[str], most: int) -> list[bytes]:
    """Encoded images of some files, in their order."""
    found: list[bytes] = []
    for name in names:
        for batch in pq.ParquetFile(folder / name).iter_batches(1024, columns=["image"]):
            found += [cell["bytes"] for cell in batch.column(0).to_pylist()]
            if len(found) >= most:
                return found[:most]
    return found


def fashion_mnist(most: int) -> list[bytes]:
    """The bundled part of Fashion-MNIST, as PNG files."""
    source = open_manifest("fashion-mnist-mini").pixels
    contents = []
    for row in range(min(most, len(source))):
        buffer = io.BytesIO()
        Image.fromarray(source.read(row).pixels.squeeze()).save(buffer, "PNG")
        contents.append(buffer.getvalue())
    return contents


def thumbnails(contents: Sequence[bytes]) -> np.ndarray:
    """uint8 [N, SIDE, SIDE]."""
    return np.stack([thumbnail(np.asarray(opened(content))) for content in contents])


def recall(
    contents: Sequence[bytes], unmodified: np.ndarray, change: str, count: int
) -> tuple[float, float]:
    """Share of the copies that are found among all images, and share of these whose kind is right."""
    rng = np.random.default_rng(0)
    make, kind = CHANGES[change]
    copies = []
    for content in contents[:count]:
        copy = make(opened(content), rng)
        is_lossless = change in ("JPEG of quality 30", "resized to 0.6")
        copies.append(thumbnail(np.asarray(copy if is_lossless else opened(encoded(copy)))))
    total = len(unmodified)
    pairs = find_copies(np.concatenate([unmodified, np.stack(copies)]))
    found = [pair for pair in pairs if pair.other == total + pair.one]
    right = sum(pair.kind == kind for pair in found)
    return len(found) / count, right / max(len(found), 1)


def draw(contents: Sequence[bytes], pairs: Sequence[Copy], path: Path) -> None:
    """A sheet of a fixed sample of pairs, the least alike first, each with its number, agreement and kind."""
    order = np.random.default_rng(0).permutation(len(pairs))[:SHEET_PAIRS]
    chosen = sorted((pairs[i] for i in order), key=lambda pair: pair.agreement)
    width, height = 2 * SHEET_SIDE + 30, SHEET_SIDE + 14
    sheet = Image.new(
        "RGB", (SHEET_COLUMNS * width, -(-len(chosen) // SHEET_COLUMNS) * height), "white"
    )
    write = ImageDraw.Draw(sheet)
    for number, pair in enumerate(chosen):
        left, top = number % SHEET_COLUMNS * width, number // SHEET_COLUMNS * height
        write.text((left, top), f"{number} {pair.agreement:.3f} {pair.kind}", fill="black")
        for place, row in enumerate((pair.one, pair.other)):
            shown = opened(contents[row]).resize((SHEET_SIDE, SHEET_SIDE), Image.Resampling.BICUBIC)
            sheet.paste(shown, (left + place * SHEET_SIDE, top + 12))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def large(settings: Settings) -> None:
    """Time and memory of ``likewise.doctor`` on many small files."""
    contents = pictures(
        settings.data,
        ["cifar10-jpeg75-train.parquet", "cifar10-jpeg75-test.parquet"],
        settings.large,
    )
    flips = [
        encoded(ImageOps.mirror(opened(content)), 90)
        for content in contents[: settings.large - len(contents)]
    ]
    images = np.stack([np.asarray(opened(content)) for content in [*contents, *flips]])
    manifest = open_manifest(images)
    start = time.perf_counter(), measuring.processor_seconds()
    findings = {finding.name: finding.count for finding in examine(manifest).found}
    wall, processor = time.perf_counter() - start[0], measuring.processor_seconds() - start[1]
    others = f"{os.getloadavg()[2]:.0f} processes wanted the {os.cpu_count()} cores meanwhile."
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rows: list[Sequence[str]] = [
        [f"{len(images):,}", f"{wall:.0f} s", f"{processor:.0f} s", f"{peak:.2f} GB", str(findings)]
    ]
    columns = ["images", "wall", "processor", "peak memory", "found"]
    table = Table("CIFAR-10 (JPEG) and mirrored copies", columns, rows, [others])
    measuring.keep(
        "near_duplicates_large", "Near duplicates among many images", [table],
        [Claim("processor seconds for 100,000 images, 10 minutes of one core", 600, processor, at_least=False)],
        command=f"python benchmarks/near_duplicates.py --data DATA --large {settings.large}",
    )  # fmt: skip


def main(settings: Settings) -> None:
    """Measure, and write the results."""
    if settings.large:
        large(settings)
        return
    loaded = {name: pictures(settings.data, files, settings.most) for name, files in SETS.items()}
    loaded["Fashion-MNIST (bundled part)"] = fashion_mnist(settings.most)
    seen = {name: thumbnails(contents) for name, contents in loaded.items()}
    accused = {name: find_copies(unmodified) for name, unmodified in seen.items()}
    rows = []
    for name, pairs in accused.items():
        kinds = Counter(pair.kind for pair in pairs)
        rows.append(
            [
                name,
                f"{len(seen[name]):,}",
                str(len(pairs)),
                ", ".join(f"{k} {n}" for k, n in kinds.items()),
            ]
        )
        if settings.sheets is not None and pairs:
            draw(loaded[name], pairs, settings.sheets / f"{name.split()[0]}.png")
    found = Table("Pairs in the sets as they are", ["set", "images", "pairs", "kinds"], rows)
    photographs = list(SETS)[:3]
    shares = {
        change: [
            recall(loaded[name], seen[name][:5000], change, settings.copies) for name in photographs
        ]
        for change in CHANGES
    }
    among = min(5000, settings.most)
    made = Table(
        f"Share of {settings.copies} made copies found among {among:,} images, and of these with the right kind",
        ["copy", *photographs],
        [
            [change, *(f"{share:.3f}, {right:.3f}" for share, right in each)]
            for change, each in shares.items()
        ],
    )
    least = min(share for each in shares.values() for share, _ in each)
    claim = Claim("of each kind of copy nine tenths are found", 0.9, least)
    measuring.keep(
        "near_duplicates", "Near duplicates", [found, made], [claim], images=settings.most
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
