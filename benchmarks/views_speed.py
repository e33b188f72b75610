"""Two SimCLR views of each image, ours against the peers', on one core: views per second, and the floor under them.

And FixMatch's strong view (RandAugment and Cutout) against torchvision's.

python benchmarks/views_speed.py                                             # 32 pixels, images like CIFAR's in shape
python benchmarks/views_speed.py --photographs photographs.parquet           # and 224 pixels, from real photographs
python benchmarks/views_speed.py --photographs photographs.parquet --clock wall    # with nothing else to do
"""

from __future__ import annotations

import io
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import tyro
from measuring import Claim, Clock, Table, in_turns, keep
from PIL import Image
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.randomness import BatchRNG
from likewise.views.image import batched
from likewise.views.image.blur import kernel_size
from likewise.views.native import library
from likewise.views.native import views as native
from likewise.views.policies import fixmatch_strong, simclr
from likewise.views.view_policy import ViewPolicy

NATIVE, BATCHED = "likewise, compiled", "likewise, PyTorch operations"
ALBUMENTATIONS = "albumentations"
LIGHTLY = "lightly"
KORNIA = "kornia, batched"
TORCHVISION = "torchvision v2, tensors"

TORCHVISION_PIL = "torchvision v2, PIL"

NOTES = [
    "Each library crops (8-100% of the area), flips, jitters colours (80%, SimCLR's strength 1), greys (20%) and "
    "blurs (50%), and hands over float32 [B, 3, S, S] in [0, 1]. No library decodes: all start from decoded bytes.",
    "albumentations: OpenCV on bytes, no antialiasing, blur's taps from its sigma. lightly: PIL, blur of three boxes. "
    "kornia and torchvision: floats, no antialiasing in kornia, Gaussian of a tenth of the side as in likewise.",
]


@dataclass(frozen=True)
class Settings:
    """What to measure on, and how long."""

    photographs: Path | None = None
    """a Parquet file with a column of {bytes}, for the views of 224 pixels"""
    rounds: int = 7
    """turns that each candidate gets; the median counts"""
    clock: Clock = "processor"
    """seconds that the process worked, which other processes hardly change, or seconds that went by"""


@dataclass(frozen=True)
class Case:
    """Decoded images, as each side stores them, and the views wanted of them."""

    name: str
    size: int
    stored: Pixels
    """squares, as likewise and kornia keep them"""
    files: Sequence[np.ndarray]
    """uint8 [H, W, 3] each, as the others keep them"""
    shares: dict[str, int]
    """how many of the images a candidate gets in a turn: the slow ones fewer"""

    @property
    def policy(self) -> ViewPolicy:
        """SimCLR's, blur included at any size."""
        return replace(simclr(), size=self.size)


def small_images() -> Case:
    """Of CIFAR's shape. Their content does not change the speed."""
    images = torch.randint(
        0, 256, (512, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    shares = {
        NATIVE: 512,
        BATCHED: 512,
        ALBUMENTATIONS: 128,
        LIGHTLY: 64,
        KORNIA: 512,
        TORCHVISION: 32,
    }
    files = list(images.permute(0, 2, 3, 1).contiguous().numpy())
    return Case("32 px from 32 x 32", 32, Pixels(images, torch.ones(512)), files, shares)


def photographs(path: Path) -> Case:
    """The first 64 of the file; squares of as many pixels as the photographs have on average."""
    rows = pq.read_table(path).slice(0, 64).to_pylist()
    files = [row["image"]["bytes"] for row in rows]
    opened = [Image.open(io.BytesIO(encoded)).convert("RGB") for encoded in files]
    side = round(statistics.mean(image.width * image.height for image in opened) ** 0.5)
    squares = np.stack(
        [np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)) for image in opened]
    )
    aspect = torch.tensor([image.width / image.height for image in opened])
    stored = Pixels(torch.from_numpy(squares).permute(0, 3, 1, 2).contiguous(), aspect)
    shares = {NATIVE: 64, BATCHED: 8, ALBUMENTATIONS: 64, LIGHTLY: 16, KORNIA: 8, TORCHVISION: 4}
    name = f"224 px from {len(files)} photographs of {side} x {side} pixels on average"
    return Case(name, 224, stored, [np.asarray(image) for image in opened], shares)


def candidates(case: Case) -> dict[str, Callable[[], object]]:
    """Each makes two views of its share of the images."""
    makers = {
        NATIVE: likewise(case, case.shares[NATIVE], "1"),
        BATCHED: likewise(case, case.shares[BATCHED], "0"),
        ALBUMENTATIONS: albumentations(case),
        LIGHTLY: lightly(case),
        KORNIA: kornia(case),
        TORCHVISION: torchvision(case),
    }
    return (
        makers
        if library.library() is not None
        else {name: m for name, m in makers.items() if name != NATIVE}
    )


def likewise(case: Case, count: int, compiled: str) -> Callable[[], object]:
    """Two views of a batch, by compiled code or without."""
    pixels, step = case.stored.map(lambda part: part[:count]), iter(range(10**9))

    def work() -> list[Tensor]:
        os.environ["LIKEWISE_NATIVE"] = compiled
        rng = BatchRNG((0, next(step)), count)
        return [case.policy(pixels, rng.stream(name)).pixels for name in ("first", "second")]

    return work


def albumentations(case: Case) -> Callable[[], object]:
    """Image by image, bytes until the end."""
    import albumentations as peer  # pyright: ignore[reportMissingImports]
    import cv2
    from albumentations.pytorch import ToTensorV2  # pyright: ignore[reportMissingImports]

    cv2.setNumThreads(1)
    recipe = peer.Compose(
        [
            peer.RandomResizedCrop((case.size, case.size), scale=(0.08, 1.0)),
            peer.HorizontalFlip(p=0.5),
            peer.ColorJitter((0.2, 1.8), (0.2, 1.8), (0.2, 1.8), (-0.2, 0.2), p=0.8),
            peer.ToGray(p=0.2),
            peer.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=0.5),
            ToTensorV2(),
        ]
    )
    images = case.files[: case.shares[ALBUMENTATIONS]]
    return lambda: [
        torch.stack([recipe(image=image)["image"] for image in images]).float() / 255
        for _ in range(2)
    ]


def lightly(case: Case) -> Callable[[], object]:
    """Image by image, PIL until the end; a call gives both views."""
    from lightly.transforms import SimCLRTransform  # pyright: ignore[reportMissingImports]

    recipe = SimCLRTransform(input_size=case.size, normalize=None)
    images = [Image.fromarray(image) for image in case.files[: case.shares[LIGHTLY]]]

    def work() -> list[Tensor]:
        views = [recipe(image) for image in images]
        return [torch.stack([pair[view] for pair in views]) for view in range(2)]

    return work


def kornia(case: Case) -> Callable[[], object]:
    """The whole batch at once, floats from the start."""
    import kornia.augmentation as peer  # pyright: ignore[reportMissingImports]

    taps = kernel_size(case.size)
    recipe = torch.nn.Sequential(
        peer.RandomResizedCrop((case.size, case.size), scale=(0.08, 1.0)),
        peer.RandomHorizontalFlip(p=0.5),
        peer.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        peer.RandomGrayscale(p=0.2),
        peer.RandomGaussianBlur((taps, taps), (0.1, 2.0), p=0.5),
    )
    images = case.stored.images[: case.shares[KORNIA]]
    return lambda: [recipe(images.float() / 255) for _ in range(2)]


def torchvision(case: Case) -> Callable[[], object]:
    """Image by image, cropped as bytes, then floats."""
    from torchvision.transforms import v2

    blur = v2.GaussianBlur(kernel_size(case.size), (0.1, 2.0))
    recipe = v2.Compose(
        [
            v2.RandomResizedCrop(case.size, (0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([blur], 0.5),
        ]
    )
    images = [
        torch.tensor(image).permute(2, 0, 1).contiguous()
        for image in case.files[: case.shares[TORCHVISION]]
    ]
    return lambda: [torch.stack([recipe(image) for image in images]) for _ in range(2)]


def rand_augment_table(settings: Settings) -> tuple[Table, dict[str, float]]:
    """FixMatch's strong view of images of CIFAR's shape: views per second of each library."""
    images = small_images().stored.images
    pixels, step, policy = Pixels(images, torch.ones(512)), iter(range(10**9)), fixmatch_strong()

    def ours() -> Tensor:
        os.environ["LIKEWISE_NATIVE"] = "1"
        return policy(pixels, BatchRNG((0, next(step)), 512)).pixels

    tensors = [image.contiguous() for image in images[:128]]
    files = [Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()) for image in tensors]
    candidates = {
        "likewise": ours,
        TORCHVISION: torchvision_rand_augment(tensors),
        TORCHVISION_PIL: torchvision_rand_augment(files),
    }
    seconds = in_turns(candidates, settings.rounds, settings.clock)
    speeds = {name: (512 if name == "likewise" else 128) / spent for name, spent in seconds.items()}
    rows: list[Sequence[str]] = [
        [name, f"{s:,.0f}", f"{speeds['likewise'] / s:.1f}x"] for name, s in speeds.items()
    ]
    notes = [
        "Crop of at least 77%, flip, two operations of RandAugment, Cutout of half the side. torchvision: operations "
        "on bytes, image by image, magnitude 10 of 31. likewise: crops compiled, operations in PyTorch, on the batch.",
    ]
    columns = ["", "views/s", "speed-up of likewise"]
    return Table("RandAugment and Cutout, 32 px from 32 x 32", columns, rows, notes), speeds


def torchvision_rand_augment(images: Sequence[Tensor | Image.Image]) -> Callable[[], object]:
    """Image by image: operations on bytes, then a float tensor with a hole."""
    from torchvision.transforms import v2

    recipe = v2.Compose(
        [
            v2.RandomResizedCrop(32, (0.77, 1.0), (1.0, 1.0), antialias=True),
            v2.RandomHorizontalFlip(0.5),
            v2.RandAugment(2, 10, interpolation=v2.InterpolationMode.BILINEAR, fill=128),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomErasing(1.0, (0.25, 0.25), (1.0, 1.0), value=0.5),
        ]
    )
    return lambda: torch.stack([recipe(image) for image in images])


def copy_speed(clock: Clock) -> float:
    """Bytes read and written per second when memory is copied."""
    source = torch.zeros(2**27, dtype=torch.uint8)
    target = torch.empty_like(source)
    return (
        2
        * len(source)
        / in_turns({"copy": lambda: target.copy_(source)}, rounds=5, clock=clock)["copy"]
    )


def floor(case: Case, speed: float) -> float:
    """Seconds a view: the bytes of the mean crop read once, those of the view written once."""
    read = case.stored.images[0].numel() * statistics.mean(case.policy.crop_area)
    return (read + 3 * case.size**2 * 4) / speed


def difference(case: Case) -> float:
    """The greatest difference between our two ways on these images, in 255ths."""
    pixels = case.stored.map(lambda part: part[:32])
    params = case.policy.sample_params(pixels, BatchRNG((1,), len(pixels.images)))
    ways = (make(pixels.images, params, case.size) for make in (native.make, batched.make))
    return (next(ways) - next(ways)).abs().max().item() * 255


def measure(case: Case, settings: Settings) -> tuple[Table, dict[str, float]]:
    """The table of one case, and views per second of each library."""
    seconds = in_turns(candidates(case), settings.rounds, settings.clock)
    speeds = {
        name: 2 * min(case.shares[name], len(case.files)) / spent for name, spent in seconds.items()
    }
    least = floor(case, copy_speed(settings.clock))
    first = next(iter(speeds.values()))
    rows: list[Sequence[str]] = [
        [name, f"{s:,.0f}", f"{first / s:.1f}x", f"{s * least:.1%}"] for name, s in speeds.items()
    ]
    table = Table(
        case.name, ["", "views/s", f"{next(iter(speeds))} is", "of the floor's speed"], rows
    )
    table.notes.append(
        f"Floor: {1e6 * least:.1f} µs a view, to read the mean crop and write the view as memory is copied."
    )
    if NATIVE in speeds:
        most = f"{difference(case):.4f}/255"
        table.notes.append(
            f"The two implementations of likewise differ by at most {most} on these images."
        )
    table.notes += NOTES
    return table, speeds


def claims_of(
    speeds: dict[str, float] | None, size: int, wanted: dict[str, float], note: str = ""
) -> list[Claim]:
    """What compiled views are to reach against each peer; not measured where there were no images or no compiler."""
    claims = []
    for peer, number in wanted.items():
        claim = f"views of {size} px at {number:g}x the speed of {peer}"
        if speeds is None:
            claims.append(Claim(claim, number, None, note="no --photographs were given"))
        elif NATIVE not in speeds:
            claims.append(Claim(claim, number, None, note=library.why_not()))
        else:
            claims.append(Claim(claim, number, speeds[NATIVE] / speeds[peer], note=note))
    return claims


def main(settings: Settings) -> None:
    """Measure, print, keep."""
    torch.set_num_threads(1)
    small, small_speeds = measure(small_images(), settings)
    tables, large_speeds = [small], None
    if settings.photographs is not None:
        large, large_speeds = measure(photographs(settings.photographs), settings)
        tables.append(large)
    strong, strong_speeds = rand_augment_table(settings)
    tables.append(strong)
    claims = claims_of(small_speeds, 32, {ALBUMENTATIONS: 2, LIGHTLY: 20})
    claims += claims_of(
        small_speeds, 32, {ALBUMENTATIONS: 6}, "(set for processors with bf16 matrix units)"
    )
    claims += claims_of(large_speeds, 224, {ALBUMENTATIONS: 1, LIGHTLY: 2.5})
    ratio = strong_speeds["likewise"] / max(
        strong_speeds[peer] for peer in (TORCHVISION, TORCHVISION_PIL)
    )
    claims.append(
        Claim("RandAugment of 32 px at 5x the speed of torchvision v2, its faster way", 5, ratio)
    )
    keep("views_speed", "Views", tables, claims, clock=settings.clock, cores=1)


if __name__ == "__main__":
    main(tyro.cli(Settings))
