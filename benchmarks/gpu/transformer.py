"""A ViT's steps with and without ``--activation-checkpointing``, and in float32 by ``--matmul-precision``.

SimCLR with two views of 224 pixels of 128 images, ViT-S/16. Expected on an H100, by arithmetic: 35 seconds, 6 of them
for the start of the process, 6 for compiling the views' kernels, 5 for the steps in float32 without TensorFloat-32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import get_args

import torch

from gpu import step
from gpu.section import Clock, Result, Section, take_turns
from likewise.methods import METHODS, with_view_size
from likewise.training import LoopSettings
from likewise.training.callbacks import CallbackState
from likewise.training.matmul_precision import MatmulPrecision, matmul_precision

SIZES = step.Sizes(
    images=512,
    batch=128,
    side=224,
    encoder="timm/vit_small_patch16_224",
    small_stem=False,
    steps=15,
)


class Watch(step.Watch):
    """Milliseconds of a step, and the most memory that was allocated at once in the steps that are timed."""

    def on_step(self, state: CallbackState) -> None:
        """Start, or stop."""
        if state.step == step.UNCOUNTED:
            torch.cuda.reset_peak_memory_stats()
        super().on_step(state)
        if state.step == state.steps:
            self.found["GB at most"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)


def steps_of(device: torch.device, sizes: step.Sizes) -> step.Steps:
    """SimCLR's, with its views of photographs."""
    return step.Steps(with_view_size(METHODS["simclr"](), sizes.side), device, sizes)


def with_checkpointing(device: torch.device, sizes: step.Sizes, checkpointing: bool) -> Result:
    """Mixed precision, steps that are not captured: those with activation checkpointing cannot be."""
    steps, watch = step.UNCOUNTED + sizes.steps, Watch()
    plan = LoopSettings(steps, activation_checkpointing=checkpointing, cuda_graph="off")
    steps_of(device, sizes).train(plan, watch, "bf16-mixed")
    return watch.found


def in_float32(device: torch.device, sizes: step.Sizes, precision: MatmulPrecision) -> Result:
    """Captured steps, as ``--precision 32`` takes them."""
    watch, plan = Watch(), LoopSettings(step.UNCOUNTED + sizes.steps)
    with matmul_precision(precision):
        steps_of(device, sizes).train(plan, watch, "32-true")
    return watch.found


def run(device: torch.device, clock: Clock, sizes: step.Sizes = SIZES) -> None:
    """First without, then with; the slowest last."""
    work: dict[str, Callable[[], Result]] = {
        "without activation checkpointing": partial(with_checkpointing, device, sizes, False),
        "with activation checkpointing": partial(with_checkpointing, device, sizes, True),
    }
    for precision in reversed(get_args(MatmulPrecision)):
        work[f"float32, {precision}"] = partial(in_float32, device, sizes, precision)
    take_turns("transformer", work, clock)


SECTION = Section(run, 60.0)
