"""Views per second, ours batched against torchvision's v2 transforms image by image, in one run.

python benchmarks/views_speed.py                            # views per second of processor time, one thread
python benchmarks/views_speed.py --threads 2 --clock wall   # on a machine with nothing else to do

The two take turns, so that a busy machine slows both; medians are printed, and the ratio is what to trust.
torchvision gets tensors in memory too, so decoding is in neither number.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torchvision.transforms import v2

from likewise.data.batch import Pixels
from likewise.randomness import Draws
from likewise.views.blur import kernel_size
from likewise.views.policies import ViewPolicy, simclr, simclr_small, weak


class Case(NamedTuple):
    """One shape of batch under one policy."""

    name: str
    policy: ViewPolicy
    batch: int
    channels: int
    stored: int


CASES = (
    Case("28x28 grey, crop and flip", weak(), 256, 1, 28),
    Case("28x28 grey, SimCLR without blur", simclr_small(), 256, 1, 28),
    Case("32x32 RGB, SimCLR without blur", simclr_small(), 512, 3, 32),
    Case("32x32 RGB, SimCLR", simclr(), 512, 3, 32),
    Case("224x224 RGB from 256, crop and flip", replace(weak(), size=224), 32, 3, 256),
    Case("224x224 RGB from 256, SimCLR", replace(simclr(), size=224), 32, 3, 256),
)


@dataclass(frozen=True)
class Settings:
    """How long to measure, and on what."""

    threads: int = 1
    """threads of PyTorch, for both sides"""
    rounds: int = 7
    """turns that each side gets; the median counts"""
    examples: int = 16
    """images that torchvision gets in a turn"""
    clock: Literal["processor", "wall"] = "processor"
    """seconds that the process worked, which other processes hardly change, or seconds that went by"""


def torchvision_pipeline(policy: ViewPolicy, size: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same recipe as torchvision users write it, on one uint8 tensor image."""
    steps: list[torch.nn.Module] = [
        v2.RandomResizedCrop(size, policy.crop_area, policy.crop_ratio, antialias=True),
        v2.RandomHorizontalFlip(policy.flip),
        v2.ToDtype(torch.float32, scale=True),
    ]
    if policy.jitter > 0:
        jitter = v2.ColorJitter(policy.brightness, policy.contrast, policy.saturation, policy.hue)
        steps += [v2.RandomApply([jitter], policy.jitter), v2.RandomGrayscale(policy.grey)]
    if policy.blur > 0:
        steps.append(v2.RandomApply([v2.GaussianBlur(kernel_size(size), policy.blur_sigma)], policy.blur))
    return v2.Compose(steps)


def seconds(work: Callable[[], object], clock: str) -> float:
    now = time.process_time if clock == "processor" else time.perf_counter
    start = now()
    work()
    return now() - start


def measure(case: Case, settings: Settings) -> tuple[float, float]:
    """Median views per second: ours, torchvision's."""
    shape = case.batch, case.channels, case.stored, case.stored
    pixels = Pixels(torch.randint(0, 256, shape, dtype=torch.uint8), torch.ones(case.batch))
    pipeline = torchvision_pipeline(case.policy, case.policy.size or case.stored)
    examples = pixels.images[: settings.examples]
    ours, theirs = [], []
    for turn in range(-2, settings.rounds):  # the first turns warm up
        draws = Draws((0, turn + 2), case.batch)
        ours.append(case.batch / seconds(lambda draws=draws: case.policy(pixels, draws), settings.clock))
        theirs.append(
            len(examples) / seconds(lambda: torch.stack([pipeline(image) for image in examples]), settings.clock)
        )
    return statistics.median(ours[2:]), statistics.median(theirs[2:])


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    table = Table(
        "views",
        "batch",
        "ours /s",
        "torchvision v2 /s",
        "ratio",
        title=f"{settings.threads} thread(s), {settings.clock} seconds",
    )
    for case in CASES:
        ours, theirs = measure(case, settings)
        table.add_row(case.name, str(case.batch), f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.1f}x")
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(Settings))
