"""What a microbatch costs in time and saves in memory: one step of SimCLR, joint and cached.

python benchmarks/cached_gradients.py                        # two threads, seconds that go by; a quiet machine
python benchmarks/cached_gradients.py --clock processor      # while others work on the machine too

Time is measured in turns in this process; memory in a process each, as the growth of its largest resident set over a
step, as Linux reports it: activations, gradients, views and the loss.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from lightning_fabric import Fabric
from measuring import Claim, Clock, Table, in_turns, keep, megabytes

from likewise.data.batch import Batch, Pixels
from likewise.encoders.build import build_encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.methods import Method, Nets, Progress, find_method, with_view_size
from likewise.randomness import seed_networks
from likewise.training.cached_gradients import CachedGradients, JointGradients, Learner
from likewise.training.optimizers import build_optimizer

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from training.saved_tensors import saved_bytes

SIZE = 28
BEFORE = 16
"""Images of the step that a process takes before its memory counts, so that what is loaded once does not."""


@dataclass(frozen=True)
class Settings:
    """How large, and how long to measure."""

    batch: int = 1024
    """images of a step"""
    microbatches: tuple[int, ...] = (128, 256)
    """images that are embedded at a time"""
    method: str = "simclr"
    """whose step is taken"""
    encoder: str = "conv4"
    """conv4 or conv4-wide, on grey images of 28 pixels"""
    rounds: int = 5
    """steps of each that count"""
    threads: int = 2
    """threads of PyTorch"""
    clock: Clock = "wall"
    """seconds that go by, or seconds that the process works"""
    alone: int | None = None
    """take one step with this microbatch and say how much memory it took: what the other processes are asked"""


def made(settings: Settings) -> tuple[Fabric, Method, Nets]:
    seed_networks(0)
    method = with_view_size(find_method(settings.method)(), SIZE)
    nets = method.build(build_encoder(EncoderSettings(settings.encoder, SIZE, (0.3,), (0.35,))), 10)
    nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Fabric(accelerator="cpu", devices=1, precision="32-true"), method, nets


def batch_of(images: int) -> Batch:
    pixels = torch.randint(0, 256, (images, 1, SIZE, SIZE), dtype=torch.uint8)
    return Batch(
        Pixels(pixels, torch.ones(images)), torch.arange(images) % 10, torch.arange(images)
    )


def stepper(settings: Settings) -> Callable[[int, int], None]:
    """Takes a step of so many images, so many at a time."""
    fabric, method, nets = made(settings)
    learner, optimizer = fabric.setup(
        Learner(method, nets), build_optimizer(method.card.recipe, nets, settings.batch)
    )

    def step(images: int, microbatch: int) -> None:
        pieces = images // microbatch
        gradients = (
            CachedGradients(fabric, learner, pieces)
            if pieces > 1
            else JointGradients(fabric, learner)
        )
        done = gradients.forward(batch_of(images), Progress(0, 10))
        optimizer.zero_grad(set_to_none=True)
        gradients.backward(done)
        optimizer.step()
        method.after_update(nets, done, Progress(0, 10))

    return step


def megabytes_alone(settings: Settings) -> float:
    """How far one step raises the most that this process has ever held."""
    step = stepper(settings)
    step(BEFORE, BEFORE)
    before = megabytes("VmHWM")
    step(settings.batch, settings.alone or settings.batch)
    return megabytes("VmHWM") - before


def grown_alone(settings: Settings, microbatch: int) -> float:
    """The same, in a process of its own."""
    words = [sys.executable, __file__, "--alone", str(microbatch), "--batch", str(settings.batch)]
    words += [
        "--method",
        settings.method,
        "--encoder",
        settings.encoder,
        "--threads",
        str(settings.threads),
    ]
    return json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    if settings.alone is not None:
        print(megabytes_alone(settings))
        return
    _, method, nets = made(settings)
    with torch.no_grad():
        rows = {
            name: row.requires_grad_()
            for name, row in method.embed(nets, batch_of(512), Progress(0, 10)).items()
        }
    of_loss = (
        saved_bytes(lambda: method.compute_loss(nets, rows, Progress(0, 10)), nets)[0]
        * (settings.batch / 512) ** 2
    )
    step, sizes = stepper(settings), (settings.batch, *settings.microbatches)
    seconds = in_turns(
        {str(size): lambda size=size: step(settings.batch, size) for size in sizes},
        settings.rounds,
        settings.clock,
    )
    grown = {size: grown_alone(settings, size) for size in sizes}
    joint = seconds[str(settings.batch)]
    table = Table(
        f"a step of {method.card.title} with {settings.encoder} on {settings.batch:,} images of {SIZE} pixels",
        ["images at a time", "seconds", "over joint", "process grew by MB"],
        notes=[f"The loss keeps {of_loss / 1e6:.0f} MB more, at every size."],
    )
    for size in sizes:
        cells = [
            f"{seconds[str(size)]:.2f}",
            f"{seconds[str(size)] / joint:.2f}",
            f"{grown[size]:.0f}",
        ]
        table.rows.append([f"{size:,}" + (" (joint)" if size == settings.batch else ""), *cells])
    least = min(settings.microbatches)
    claims = [
        Claim(
            f"{least} at a time take at most 1.4 times as long",
            1.4,
            seconds[str(least)] / joint,
            at_least=False,
        ),
        Claim(
            f"{least} at a time need at most half the memory",
            0.5,
            grown[least] / grown[settings.batch],
            False,
        ),
    ]
    keep(
        "cached_gradients",
        "Cached gradients: large batches in little memory",
        [table],
        claims,
        clock=settings.clock,
    )


if __name__ == "__main__":
    main(tyro.cli(Settings))
