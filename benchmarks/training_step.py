"""A whole training step, data to optimiser, against lightly's own pipeline: same network, batch, views and precision.

Each turn starts with no batch prepared and ends with the last update, so that no worker processes get ahead in another
library's turn. `python benchmarks/training_step.py`
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import tyro
from lightly.loss import NTXentLoss  # pyright: ignore[reportMissingImports]
from lightly.transforms import SimCLRTransform  # pyright: ignore[reportMissingImports]
from measuring import Claim, Clock, Table, in_turns, keep
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from likewise.data.batch import Pixels
from likewise.data.images import InMemoryImages
from likewise.data.loader import Loader
from likewise.encoders import EncoderSettings, build_encoder
from likewise.methods import Nets, Progress
from likewise.methods.recipe import Recipe
from likewise.methods.simclr import SimCLR
from likewise.training.optimizers import build_optimizer
from likewise.views.policies import simclr_small

RECIPE = Recipe("sgd", learning_rate=0.03)


@dataclass(frozen=True)
class Case:
    """One network on images of one size."""

    name: str
    encoder: str
    channels: int
    pixels: int
    batch: int
    steps: int
    """of a turn"""
    wanted: float
    """target: times lightly's speed"""


CASES = (
    Case("small network, Fashion-MNIST's shape", "conv4", 1, 28, 256, 8, 1.8),
    Case("ResNet-18, CIFAR-10's shape", "timm/resnet18", 3, 32, 128, 2, 1.5),
)


@dataclass(frozen=True)
class Settings:
    """How long to measure."""

    threads: int = 1
    """threads of PyTorch, for both"""
    workers: int = 0
    """processes that make lightly's views; their work counts only where the clock is ``wall``"""
    clock: Clock = "processor"
    """seconds that the process worked, which other processes hardly change, or seconds that went by"""
    rounds: int = 3
    """turns that each side gets; the median counts"""
    precisions: tuple[str, ...] = ("float32", "bfloat16")
    """number formats of the network"""
    compiled: bool = False
    """also our step with the network through torch.compile"""


class PillowImages(Dataset[Any]):
    """Arrays opened as torchvision's data sets open them, through lightly's transform."""

    def __init__(self, images: Tensor, transform: Callable[[Image.Image], list[Tensor]]) -> None:
        self.arrays = images.permute(0, 2, 3, 1).squeeze(-1).numpy()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.transform(Image.fromarray(self.arrays[index]))


class FirstRows(Sampler[int]):
    """So many rows and no more."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rows))

    def __len__(self) -> int:
        return self.rows


def networks(case: Case) -> Nets:
    torch.manual_seed(0)
    method = SimCLR(views=replace(simclr_small(), size=case.pixels))
    statistics = (0.5,) * case.channels, (0.25,) * case.channels
    return method.build(
        build_encoder(EncoderSettings(case.encoder, case.pixels, *statistics, small_stem=True)), 10
    ).train()


def lightly_turn(
    case: Case, images: Tensor, precision: str, settings: Settings
) -> Callable[[], object]:
    """Their transform in their workers, their loss, PyTorch's optimiser."""
    transform = SimCLRTransform(
        input_size=case.pixels,
        cj_strength=0.5,
        gaussian_blur=0.0,
        # The encoder normalises.
        normalize={"mean": [0.0] * case.channels, "std": [1.0] * case.channels},
    )
    loader = DataLoader(
        PillowImages(images, transform),
        batch_size=case.batch,
        sampler=FirstRows(case.batch * case.steps),
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
        drop_last=True,
    )
    nets, loss = networks(case), NTXentLoss(0.2)
    optimizer = torch.optim.SGD(nets.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)

    def turn() -> None:
        for first, second in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                z = [nets.head(nets.encoder(view)) for view in (first, second)]
                value = loss(*(part.float() for part in z))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()

    return turn


def our_turn(
    case: Case, images: Tensor, precision: str, compiled: bool = False
) -> Callable[[], object]:
    """The steps of the training loop, without its log."""
    method = SimCLR(views=replace(simclr_small(), size=case.pixels))
    nets = networks(case).to(memory_format=torch.channels_last)
    loader = Loader(
        InMemoryImages(Pixels(images, torch.ones(len(images)))),
        torch.full((len(images),), -1),
        case.batch,
        0,
    )
    optimizer = build_optimizer(RECIPE, nets, case.batch)
    if compiled:
        nets.encoder.compile()

    def turn() -> None:
        for number, batch in enumerate(loader.batches(0, case.steps)):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                step = method.step(nets, batch, Progress(number, case.steps))
            optimizer.zero_grad(set_to_none=True)
            step.loss.backward()
            optimizer.step()

    return turn


def measure(case: Case, settings: Settings) -> tuple[Table, list[Claim]]:
    """Both pipelines in each precision."""
    shape = case.batch * case.steps, case.channels, case.pixels, case.pixels
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    columns = ["precision", "library", "images/s", "speed-up of likewise"]
    table = Table(f"SimCLR step, {case.name}, batch {case.batch}", columns)
    table.notes = [
        f"An image is two views. {settings.threads} threads each; {settings.workers} workers for lightly."
    ]
    claims = []
    for precision in settings.precisions:
        candidates = {
            "likewise": our_turn(case, images, precision),
            "lightly": lightly_turn(case, images, precision, settings),
        }
        if settings.compiled:
            candidates["likewise, compiled"] = our_turn(case, images, precision, compiled=True)
        times = in_turns(candidates, settings.rounds, settings.clock)
        for who, spent in times.items():
            ratio = "" if who == "likewise" else f"{spent / times['likewise']:.2f}x as fast"
            table.rows.append([precision, who, f"{len(images) / spent:,.0f}", ratio])
        speed_up = times["lightly"] / times["likewise"]
        claims.append(
            Claim(
                f"{case.name}: {case.wanted}x lightly's pipeline, {precision}",
                case.wanted,
                speed_up,
            )
        )
    return table, claims


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    measured = [measure(case, settings) for case in CASES]
    claims = [claim for _, found in measured for claim in found]
    claims.append(
        Claim("H100: 4x lightly's loader on the same machine", 4, None, note="no GPU was available")
    )
    tables = [table for table, _ in measured]
    keep("training_step", "A training step on the CPU", tables, claims, clock=settings.clock)


if __name__ == "__main__":
    main(tyro.cli(Settings))
