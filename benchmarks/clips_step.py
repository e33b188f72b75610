"""A training step on clips: SimCLR against torchvision's views with lightly's loss, and time and memory of each method.

python benchmarks/clips_step.py                        # seconds that go by; on a machine with nothing else to do

SimCLR and its peer take turns in this process: the same network, batch and optimiser, clips decoded before. Each method
then takes its steps in a process of its own, on a bundled set: the median step, and the peak of memory (Linux tells)
less what data, networks and libraries held before the first step.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from clip_views import our_view, torchvision_view
from lightly.loss import NTXentLoss  # pyright: ignore[reportMissingImports]
from measuring import Claim, Clock, Table, in_turns, keep, megabytes, seconds

from likewise.data.batch import Batch, Pixels
from likewise.encoders import EncoderSettings, build_encoder
from likewise.methods import Nets, Progress, Recipe
from likewise.methods.simclr import SimCLR
from likewise.runs.networks import build_nets
from likewise.runs.prepare import prepare
from likewise.runs.settings import TrainSettings
from likewise.training.memory_layout import channels_last
from likewise.training.optimizers import build_optimizer

FRAMES, SIDE = 8, 32
METHODS = {
    "simclr": "synthetic-flow-videos",
    "moco-v2": "synthetic-flow-videos",
    "modist": "synthetic-flow-videos",
    "flow-similarity": "synthetic-flow-videos",
    "global-local": "synthetic-sound-videos",
    "lira": "synthetic-lip-videos",
}
"""and what each learns from; those of images see clips through r2plus1d-small"""


@dataclass(frozen=True)
class Settings:
    """How large, and how long to measure."""

    batch: int = 32
    """clips of a step"""
    rounds: int = 5
    """steps of each that count"""
    threads: int = 2
    """threads of PyTorch"""
    clock: Clock = "wall"
    """seconds that go by, or seconds that the process works"""
    alone: str = ""
    """a method whose steps are measured in this process and printed; set for the child processes"""


def networks(rule: SimCLR) -> Nets:
    torch.manual_seed(0)
    settings = EncoderSettings(
        "r2plus1d-small", SIDE, (0.5,) * 3, (0.25,) * 3, frames=FRAMES, frame_rate=8.0
    )
    return rule.build(build_encoder(settings), 0).train()


def ours(batch: Batch) -> Callable[[], object]:
    """A step as the training loop takes it."""
    rule = SimCLR(views=our_view(SIDE))
    nets = networks(rule)
    channels_last(nets)
    optimizer = build_optimizer(Recipe("sgd", 0.03), nets, batch.size)

    def step() -> None:
        loss = rule.step(nets, batch, Progress(0, 1)).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def peer(batch: Batch) -> Callable[[], object]:
    """Torchvision's views clip by clip, lightly's loss, PyTorch's optimiser, the network as it is built."""
    nets = networks(SimCLR(views=our_view(SIDE)))
    loss = NTXentLoss(0.2)
    view = torchvision_view(SIDE)
    optimizer = torch.optim.SGD(nets.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        pair = [torch.stack([view(clip) for clip in batch.pixels.images]) for _ in range(2)]
        value = loss(*(nets.head(nets.encoder(each)) for each in pair))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    return step


def alone(settings: Settings) -> dict[str, float]:
    """Median seconds of a method's step, data to update, and the megabytes that steps take."""
    name = settings.alone
    asked = TrainSettings(labels="none", batch_size=settings.batch, device="cpu")
    if name in ("simclr", "moco-v2"):
        asked = replace(asked, encoder="r2plus1d-small", frames=FRAMES)
    prepared = prepare(METHODS[name], asked, name)
    nets, loader = build_nets(prepared).train(), prepared.loader()
    channels_last(nets)
    optimizer = build_optimizer(prepared.recipe, nets, settings.batch)
    batches = iter(loader.batches(0, settings.rounds + 2))
    spent, before = [], megabytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the most that was held until now

    def step() -> None:
        made = prepared.method.step(nets, next(batches), Progress(0, 10))
        optimizer.zero_grad(set_to_none=True)
        made.loss.backward()
        optimizer.step()
        prepared.method.after_update(nets, made, Progress(0, 10))

    for _ in range(settings.rounds + 2):
        spent.append(seconds(step, settings.clock))
    return {"seconds": statistics.median(spent[2:]), "megabytes": megabytes("VmHWM") - before}


def told_alone(settings: Settings, name: str) -> dict[str, float]:
    """The same from a process of its own."""
    words = [sys.executable, __file__, "--alone", name, "--batch", str(settings.batch)]
    words += [
        "--rounds",
        str(settings.rounds),
        "--threads",
        str(settings.threads),
        "--clock",
        settings.clock,
    ]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return json.loads(said.splitlines()[-1])


def main(settings: Settings) -> None:
    torch.set_num_threads(settings.threads)
    if settings.alone:
        print(json.dumps(alone(settings)))
        return
    clips = torch.randint(0, 256, (settings.batch, FRAMES, 3, SIDE, SIDE), dtype=torch.uint8)
    count = torch.arange(settings.batch)
    batch = Batch(Pixels(clips, torch.ones(len(clips))), torch.full_like(count, -1), count)
    times = in_turns(
        {"likewise": ours(batch), "torchvision and lightly": peer(batch)},
        settings.rounds,
        settings.clock,
    )
    comparison = Table(
        f"SimCLR step, r2plus1d-small on {settings.batch} clips of {FRAMES} frames of {SIDE} px",
        ["library", "clips a second", "time over likewise"],
        [
            [who, f"{settings.batch / s:,.0f}", f"{s / times['likewise']:.2f}"]
            for who, s in times.items()
        ],
        [f"A clip is two views. {settings.threads} threads each."],
    )
    each = Table(
        f"A step of {settings.batch} clips by method, each with its own defaults",
        ["method", "data", "ms a step", "clips a second", "steps take MB"],
    )
    for name, source in METHODS.items():
        found = told_alone(settings, name)
        took = found["seconds"]
        each.rows.append([
            f"`{name}`", source, f"{1e3 * took:,.0f}", f"{settings.batch / took:,.0f}", f"{found['megabytes']:,.0f}",
        ])  # fmt: skip
    each.notes.append("Frames, networks and numbers of views differ by method.")
    ratio = times["torchvision and lightly"] / times["likewise"]
    claims = [
        Claim(
            "a step of SimCLR on clips at least as fast as torchvision's views with lightly's loss",
            1,
            ratio,
        )
    ]
    keep("clips_step", "A training step on clips", [comparison, each], claims, clock=settings.clock)


if __name__ == "__main__":
    main(tyro.cli(Settings))
