"""What the two halves of a method's step give: rows for each example, then a loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.collectives import gather, sharded_rows
from likewise.methods.nets import Nets
from likewise.methods.progress import Progress

Outputs = Mapping[str, Tensor]
"""Per-example results by name; the first dimension is the example."""


class Step(NamedTuple):
    """What a step gives back."""

    loss: Tensor
    """a scalar to be minimised"""
    metrics: Mapping[str, Tensor] = {}
    """scalars for the log"""
    memory_updates: Mapping[str, Tensor] = {}
    """rows that `Method.after_update` puts into memory"""

    def with_detached_records(self) -> Step:
        """The same step; only its loss keeps a gradient, so that nothing that is kept holds a graph in memory."""
        metrics = {name: value.detach() for name, value in self.metrics.items()}
        memory_updates = {name: rows.detach() for name, rows in self.memory_updates.items()}
        return Step(self.loss, metrics, memory_updates)


def compute_over_ranks(
    compute_loss: Callable[[Nets, Outputs, Progress], Step],
    nets: Nets,
    outputs: Outputs,
    progress: Progress,
) -> Step:
    """The loss of this rank's rows and those of all others."""
    gathered = {name: gather(row) for name, row in outputs.items()}
    with sharded_rows():
        return compute_loss(nets, gathered, progress).with_detached_records()


def sum_of(losses: Mapping[str, Tensor]) -> Tensor:
    """The sum of several scalars."""
    return torch.stack(list(losses.values())).sum()
