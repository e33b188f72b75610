"""Gradients of networks that a method updates itself, made as those of the main step are: `Method.before_step`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from likewise.collectives import mean_over_ranks
from likewise.data.batch import Batch
from likewise.methods import Method, Nets, Outputs, Progress, Step
from likewise.methods.manual_optimization import Objective
from likewise.training.cached_gradients import Learner, gradients_of
from likewise.training.one_device import OneDevice

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class ManualBackward:
    """The ``backward`` that a method's `before_step` is given.

    Args:
        fabric: device and precision, launched. Loss scaling belongs to the main optimiser, so with ``--precision 16``
            these losses are computed in float32.
        nets: what the method built.
        pieces: microbatches in a device's batch.
    """

    def __init__(self, fabric: Fabric, nets: Nets, pieces: int = 1) -> None:
        self.nets, self.pieces = nets, pieces
        self.device = OneDevice(fabric)

    def __call__(self, objective: Objective, batch: Batch, progress: Progress) -> Step:
        """Compute the loss, and put the gradients of its network, averaged over ranks, into ``.grad``."""
        learner = AutocastLearner(self.device, objective, self.nets)
        gradients = gradients_of(self.device, learner, self.pieces)
        objective.network.zero_grad(set_to_none=True)
        with only_trainable(self.nets, objective.network):
            step = gradients.forward(batch, progress)
            gradients.backward(step)
        for parameter in objective.network.parameters():
            if parameter.grad is not None:
                parameter.grad = mean_over_ranks(parameter.grad)
        return step._replace(loss=step.loss.detach())


@contextmanager
def only_trainable(nets: nn.Module, network: nn.Module) -> Iterator[None]:
    """While the context is open, the parameters of one network take gradients, and no others do."""
    trainable = [parameter for parameter in nets.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    network.requires_grad_(True)
    try:
        yield
    finally:
        network.requires_grad_(False)
        for parameter in trainable:
            parameter.requires_grad_(True)


class AutocastLearner(Learner):
    """A learner that Fabric does not wrap: like Fabric it enters the number format and gives float32 rows."""

    def __init__(self, device: OneDevice, method: Method | Objective, nets: Nets) -> None:
        super().__init__(method, nets)
        self.device = device

    def forward(self, batch: Batch, progress: Progress, embed_only: bool = False) -> Step | Outputs:
        """One step, or the rows of its first half."""
        with self.device.autocast():
            made = super().forward(batch, progress, embed_only)
        if not embed_only:
            return made
        rows = dict(cast(Outputs, made))
        for name, row in rows.items():
            if row.dtype == torch.bfloat16:
                rows[name] = row.float()
        return rows
