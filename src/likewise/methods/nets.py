"""The networks of a method, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from likewise.encoders import Encoder


class Nets(nn.Module):
    """The networks and memories of a method, by name: always ``encoder``; head, predictor, teacher, queue as needed.

    ``learning_rate_scales`` holds the factor of the learning rate of parameters that have one, by name.
    """

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        self.finished: tuple[str, ...] = ()
        self.frozen_statistics = False
        self.learning_rate_scales: Mapping[str, float] = {}
        for name, part in parts.items():
            setattr(self, name, part)

    def __getattr__(self, name: str) -> Any:
        """A part by name; typed loosely because each method has its own."""
        return super().__getattr__(name)

    def finish(self, *names: str) -> None:
        """Freeze parts for good: they take no gradient and stay in eval mode, also while the others train."""
        self.finished = (*self.finished, *names)
        for name in names:
            getattr(self, name).requires_grad_(False).eval()

    def freeze_statistics(self) -> None:
        """Let batch normalisation in encoders, also teachers', use its running statistics for good."""
        self.frozen_statistics = True
        self.train(self.training)

    def train(self, mode: bool = True) -> Nets:
        """Set the mode of all parts that still learn; finished parts and frozen statistics stay in eval mode."""
        super().train(mode)
        for name in self.finished:
            getattr(self, name).eval()
        if self.frozen_statistics:
            for module in self._batch_norms_of_encoders():
                module.eval()
        return self

    def _batch_norms_of_encoders(self) -> Iterator[nn.Module]:
        for part in self.modules():
            if isinstance(part, Encoder):
                yield from (module for module in part.modules() if isinstance(module, _BatchNorm))


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """While the context is open, batch normalisation uses its running statistics and does not update them.

    For generated images: statistics of real and generated images together would describe neither.
    """
    moving = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.training]
    for module in moving:
        module.eval()
    yield
    for module in moving:
        module.train()
