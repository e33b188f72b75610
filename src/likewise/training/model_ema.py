"""An exponential moving average of the weights, which is evaluated instead of the newest weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from likewise.methods import Nets
from likewise.training.fully_sharded import own_part

STATISTICS = ("running_mean", "running_var")
"""Buffers of batch normalisation that belong to the weights."""


class ModelEMA:
    """Averages everything that learns: after each optimiser step, ema = decay * ema + (1 - decay) * weights.

    The average starts at the weights after the first step. It holds parameters that take a gradient, and the running
    statistics of batch normalisation in the same parts; teachers and queues are left out. Averages of weights are
    Polyak & Juditsky 1992 (https://doi.org/10.1137/0330046); timm's option of this name does the same.

    Args:
        nets: whose weights are averaged.
        decay: share of the average that stays at each step, for instance 0.999.
    """

    def __init__(self, nets: Nets, decay: float) -> None:
        self.weights = averaged_tensors(nets)
        self.averages = {name: weight.clone() for name, weight in self.weights.items()}
        self.started = False
        self._average = get_ema_multi_avg_fn(decay)

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step."""
        averages = [own_part(average) for average in self.averages.values()]
        weights = [own_part(weight) for weight in self.weights.values()]
        if self.started:
            self._average(averages, weights, 0)
        else:
            for average, weight in zip(averages, weights, strict=True):
                average.copy_(weight)
        self.started = True

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the weights of the networks and the average, to the bit."""
        for name, weight in self.weights.items():
            newest = weight.clone()
            weight.copy_(self.averages[name])
            self.averages[name].copy_(newest)

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """While the context is open, the networks hold the average."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def state_dict(self) -> dict[str, Tensor]:
        """The average by the names of the networks' own state dict."""
        return dict(self.averages)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a stored average."""
        for name, average in self.averages.items():
            average.copy_(state[name])
        self.started = True


def averaged_tensors(nets: Nets) -> dict[str, Tensor]:
    """The tensors that learning moves, by name."""
    tensors: dict[str, Tensor] = {}
    for part_name, part in nets.named_children():
        learned = {name: p.detach() for name, p in part.named_parameters() if p.requires_grad}
        if not learned:
            continue
        tensors |= {f"{part_name}.{name}": tensor for name, tensor in learned.items()}
        for name, buffer in part.named_buffers():
            if name.rpartition(".")[2] in STATISTICS:
                tensors[f"{part_name}.{name}"] = buffer
    return tensors
