"""What LoCo saves in memory and costs in time: a step of it against SimCLR's end-to-end step, on the same encoders.

python benchmarks/local_learning.py                        # two threads, seconds that go by; a quiet machine
python benchmarks/local_learning.py --clock processor      # while others work on the machine too

Memory is what waits for its backward pass, counted by PyTorch's hooks on saved tensors: the same on any machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from measuring import Claim, Clock, Table, in_turns, keep

from likewise.data.batch import Batch, Pixels
from likewise.encoders.build import build_encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.methods import Nets, Progress, find_method, with_view_size
from likewise.randomness import seed_networks

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from training.saved_tensors import peak_bytes

SIZE = 32


@dataclass(frozen=True)
class Settings:
    """How large, and how long to measure."""

    batch: int = 128
    """images of a step"""
    encoders: tuple[str, ...] = ("conv4", "conv4-wide", "timm/resnet18")
    """on colour images of 32 pixels"""
    rounds: int = 3
    """steps of each that count"""
    threads: int = 2
    """threads of PyTorch"""
    clock: Clock = "wall"
    """seconds that go by, or seconds that the process works"""


def stepper(name: str, encoder: str, batch: Batch) -> tuple[Nets, Callable[[], None]]:
    """A method's networks, and forward and backward of its step."""
    seed_networks(0)
    method = with_view_size(find_method(name)(), SIZE)
    settings = EncoderSettings(encoder, SIZE, (0.5,) * 3, (0.25,) * 3)
    nets = method.build(build_encoder(settings), 10)
    nets.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def step() -> None:
        nets.zero_grad(set_to_none=True)
        method.step(nets, batch, Progress(0, 10)).loss.backward()

    return nets, step


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    pixels = torch.randint(0, 256, (settings.batch, 3, SIZE, SIZE), dtype=torch.uint8)
    count = torch.arange(settings.batch)
    batch = Batch(Pixels(pixels, torch.ones(settings.batch)), count % 10, count)
    table = Table(
        f"a step on {settings.batch} colour images of {SIZE} pixels, forward and backward",
        [
            "encoder",
            "SimCLR saved activations, MB",
            "LoCo saved activations, MB",
            "share of SimCLR's",
            "SimCLR seconds",
            "LoCo seconds",
            "over SimCLR",
        ],
    )
    shares: dict[str, float] = {}
    for encoder in settings.encoders:
        steps = {name: stepper(name, encoder, batch) for name in ("simclr", "loco")}
        peaks = {name: peak_bytes(step, nets) for name, (nets, step) in steps.items()}
        seconds = in_turns(
            {name: step for name, (_, step) in steps.items()}, settings.rounds, settings.clock
        )
        shares[encoder] = peaks["loco"] / peaks["simclr"]
        cells = [f"{peaks[name] / 1e6:.1f}" for name in peaks] + [f"{shares[encoder]:.2f}"]
        cells += [f"{seconds[name]:.2f}" for name in peaks] + [
            f"{seconds['loco'] / seconds['simclr']:.2f}"
        ]
        table.rows.append([encoder, *cells])
    claims = [
        Claim(f"with {name} LoCo holds at most 0.8 of SimCLR's", 0.8, shares[name], False)
        for name in shares
    ]
    title = "Local learning: LoCo compared with end-to-end SimCLR"
    keep("local_learning", title, [table], claims, clock=settings.clock)


if __name__ == "__main__":
    main(tyro.cli(Settings))
