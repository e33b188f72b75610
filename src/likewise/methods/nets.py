"""The networks of a method, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class Nets(nn.Module):
    """What a method learns or remembers, by name: ``encoder`` always; head, predictor, teacher, queue as needed."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.finished: tuple[str, ...] = ()
        for name, part in parts.items():
            setattr(self, name, part)

    def __getattr__(self, name: str) -> Any:
        """A part by name; typed loosely because each method has its own."""
        return super().__getattr__(name)

    def finish(self, *names: str) -> None:
        """Let parts learn no more: they take no gradient, and stay in eval mode whatever mode the others are in."""
        self.finished = (*self.finished, *names)
        for name in names:
            getattr(self, name).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Nets:
        """Training mode for all parts that still learn, so that no batch moves the statistics of the others."""
        super().train(mode)
        for name in self.finished:
            getattr(self, name).eval()
        return self


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """For a while batch normalisation goes by what it has kept of earlier batches, and keeps nothing of these.

    For images of another kind than the network is for: statistics of both together would describe neither.
    """
    moving = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.training]
    for module in moving:
        module.eval()
    yield
    for module in moving:
        module.train()
