"""What the training loop is told besides its method and its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from likewise.training.captured_step import CUDAGraph
from likewise.training.guard_action import Action


@dataclass(frozen=True)
class LoopSettings:
    """How long to train, how gradients become steps, and how often to report."""

    steps: int
    """optimiser steps of the whole run"""
    seed: int = 0
    """seed of every random number and of the first weights"""
    log_every: int = 10
    """steps between lines of the log"""
    eval_every: int = 0
    """steps between online scores; 0: never"""
    save_every: int = 0
    """steps between checkpoints; 0: only at the end or when interrupted"""
    microbatch: int | None = None
    """images that a device embeds at a time; None: all that it has in a step"""
    activation_checkpointing: bool = False
    """whether blocks of encoders are computed again in the backward pass"""
    clip_grad_norm: float | None = None
    """largest norm of the gradient of all parameters; None: not clipped"""
    accumulate_grad_batches: int = 1
    """batches whose gradients are averaged for one optimiser step"""
    model_ema_decay: float | None = None
    """decay of the moving average of the weights that is evaluated; None: the newest weights are"""
    max_bad: float = 1.0
    """share of the images that may be unreadable before training stops"""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """ids of the images that could not be read when the set was opened, each with the reason"""
    on_collapse: Action = "warn"
    """what happens where the embeddings, the loss or the labels collapse"""
    cuda_graph: CUDAGraph = "auto"
    """whether steps are captured in a CUDA graph; auto: on a GPU, where the method allows it"""
    fused_batch_norm: bool = True
    """whether one GPU normalises batches by the kernels of `likewise.training.batch_norm`, not by PyTorch's layers"""

    @property
    def batches(self) -> int:
        """Batches of the whole run."""
        return self.steps * self.accumulate_grad_batches

    def is_due(self, every: int, step: int) -> bool:
        """Whether something that happens every so many steps, and at the end, happens after this step."""
        return step == self.steps or (every > 0 and step % every == 0)
