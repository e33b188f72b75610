"""Two random views of 224 pixels from one JPEG, ours against Pillow decoding it twice, in one run.

python benchmarks/decoding_speed.py                            # scikit-learn's two photographs, 640 x 427
python benchmarks/decoding_speed.py --photographs FILE.parquet # a column "image" of JPEG files

One thread; what is measured is the time per photograph. Ours is what training does: decode once, cut two views from the
photograph's own pixels, as float32 in [0, 1]. With --store squeezed both are cut from a stored square of 256 pixels.
Peers cut each view from the decoded photograph.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import measuring
import numpy as np
import pyarrow.parquet as pq
import torch
import tyro
from measuring import Claim, Table
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms import v2

from likewise.data.decode_file import Decoded, decode
from likewise.data.images import FileImages
from likewise.data.originals import CropStream, OriginalImages
from likewise.data.pixel_source import Encoded, Headers
from likewise.randomness import BatchRNG
from likewise.views.policies import weak

VIEW, STORED = 224, 256
OURS = "likewise, float32 tensors"
SQUEEZED = "likewise --store squeezed, float32 tensors"


@dataclass(frozen=True)
class Settings:
    """What to decode, and how long."""

    photographs: Path | None = None
    """a Parquet file whose column "image" holds JPEG files, bare or as {bytes, path}; default: scikit-learn's two"""
    count: int = 64
    """photographs of a turn"""
    rounds: int = 7
    """turns that each side gets; the median counts"""
    clock: measuring.Clock = "processor"
    """seconds that the process worked, which other processes hardly change, or seconds that went by"""


class Files:
    """Encoded photographs in memory, as a source of pixels."""

    def __init__(self, contents: list[bytes]) -> None:
        self.contents = contents
        sizes = [Image.open(io.BytesIO(content)).size for content in contents]
        self.headers = Headers(np.array(sizes, np.int32), np.full(len(contents), "RGB"))

    def __len__(self) -> int:
        return len(self.contents)

    def read(self, position: int, size: int | None = None) -> Decoded:
        """Decode one of them."""
        return decode(self.contents[position], f"photograph {position}", size)

    def encoded(self, position: int) -> Encoded:
        """One of them, undecoded."""
        return Encoded(self.contents[position], f"photograph {position}", "")

    def take(self, index: np.ndarray) -> Files:
        """Some of them."""
        return Files([self.contents[row] for row in index])


def photographs(settings: Settings) -> list[bytes]:
    """As many encoded photographs as were asked for, repeated where there are fewer."""
    if settings.photographs is None:
        import sklearn.datasets

        found = [
            file.read_bytes()
            for file in sorted(Path(sklearn.datasets.__file__).parent.glob("images/*.jpg"))
        ]
    else:
        column = pq.read_table(settings.photographs, columns=["image"])["image"].combine_chunks()
        found = [row["bytes"] if isinstance(row, dict) else row for row in column.to_pylist()]
    return (found * (settings.count // len(found) + 1))[: settings.count]


def with_pillow(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as image:
        return image.convert("RGB")


def with_torchvision(content: bytes) -> torch.Tensor:
    decoded = decode_jpeg(
        torch.frombuffer(bytearray(content), dtype=torch.uint8), ImageReadMode.RGB
    )
    assert isinstance(decoded, torch.Tensor)
    return decoded


def each(work: Callable[[bytes], object], contents: list[bytes]) -> Callable[[], None]:
    """One piece of work on every photograph, its results let go one by one as in a pipeline."""

    def all_of_them() -> None:
        for content in contents:
            work(content)

    return all_of_them


def decoders(contents: list[bytes]) -> dict[str, Callable[[], object]]:
    """Decoding alone."""
    return {
        "likewise": each(lambda content: decode(content, ""), contents),
        "Pillow": each(with_pillow, contents),
        "torchvision.io.decode_jpeg": each(with_torchvision, contents),
    }


def two_views(contents: list[bytes]) -> dict[str, Callable[[], object]]:
    """Everything from the file to two views of it."""
    source, ids = Files(contents), [str(row) for row in range(len(contents))]
    squares, originals = FileImages(source, ids, STORED, 3), OriginalImages(source, ids, STORED, 3)
    policy, everything = replace(weak(), size=VIEW), torch.arange(len(contents))
    streams = [
        CropStream(name, policy.sample_boxes, VIEW, of_support=False)
        for name in ("first", "second")
    ]
    crop, flip = v2.RandomResizedCrop(VIEW, antialias=True), v2.RandomHorizontalFlip()
    numbers = v2.ToDtype(torch.float32, scale=True)

    def numbers_of(name: str) -> BatchRNG:
        return BatchRNG((0, name), len(contents))

    def ours() -> None:
        pixels = originals.cropped(everything, None, streams, numbers_of).pixels
        for stream in streams:
            policy(pixels, numbers_of(stream.name))

    def from_squares() -> None:
        pixels = squares.read(everything)
        for stream in streams:
            policy(pixels, numbers_of(stream.name))

    def decoded_once(content: bytes) -> list[Image.Image]:
        image = with_pillow(content)
        return [flip(crop(image)) for _ in range(2)]

    def by_torchvision(content: bytes) -> list[torch.Tensor]:
        image = with_torchvision(content)
        return [numbers(flip(crop(image))) for _ in range(2)]

    return {
        OURS: ours,
        SQUEEZED: from_squares,
        "Pillow twice, left as Pillow images": each(
            lambda content: [flip(crop(with_pillow(content))) for _ in range(2)], contents
        ),
        "Pillow twice, float32 tensors": each(
            lambda content: [
                numbers(v2.functional.pil_to_tensor(flip(crop(with_pillow(content)))))
                for _ in range(2)
            ],
            contents,
        ),
        "Pillow once, left as Pillow images": each(decoded_once, contents),
        "torchvision v2 from one decode_jpeg, float32 tensors": each(by_torchvision, contents),
    }


def rows_of(
    seconds: dict[str, float], ours: float, floor: float, count: int
) -> list[Sequence[str]]:
    return [
        (name, f"{spent / count * 1e3:.2f}", f"{spent / ours:.2f}", f"{floor / spent:.0%}")
        for name, spent in seconds.items()
    ]


def described(contents: list[bytes]) -> str:
    """How many photographs, and how large on average."""
    sides = []
    for content in contents:
        with Image.open(io.BytesIO(content)) as image:
            sides.append(image.size)
    width, height = np.mean(sides, axis=0)
    kilobytes = sum(map(len, contents)) / len(contents) / 1e3
    return f"{len(contents)} photographs of {width:.0f} x {height:.0f} pixels, {kilobytes:.0f} kB, on average"


def main(settings: Settings) -> None:
    torch.set_num_threads(1)
    contents = photographs(settings)
    alone = measuring.in_turns(decoders(contents), settings.rounds, settings.clock)
    whole = measuring.in_turns(two_views(contents), settings.rounds, settings.clock)
    floor = min(alone.values())
    columns = ("library", "ms a photograph", "time over likewise", "share of the floor")
    notes = [
        described(contents),
        f"one thread, {settings.clock} seconds; floor: the fastest decoding alone",
    ]
    slower = whole[OURS] / whole[SQUEEZED]
    ratio = whole["Pillow twice, left as Pillow images"] / whole[OURS]
    measuring.keep(
        "decoding_speed",
        "Decoding photographs",
        [
            Table(
                "Decoding alone",
                columns,
                rows_of(alone, alone["likewise"], floor, len(contents)),
                notes,
            ),
            Table(
                f"Two views of {VIEW} pixels, cropped and mirrored at random, antialiased",
                columns,
                rows_of(whole, whole[OURS], floor, len(contents)),
                notes,
            ),
        ],
        [
            Claim(
                "two views from one decode at least 1.9 times as fast as Pillow decoding twice",
                1.9,
                ratio,
            ),
            Claim(
                "crops of the file in at most 1.1 times the time of crops of a square",
                1.1,
                slower,
                False,
            ),
        ],
        clock=settings.clock,
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
