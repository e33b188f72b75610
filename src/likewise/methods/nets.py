"""The networks of a method, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
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
        self.frozen_bn_stats: tuple[str, ...] = ()
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

    def freeze_bn_stats(self) -> None:
        """Let batch normalisation in the encoder and in its copies use their running statistics for good.

        Copies are EMA teachers before the first step. Other encoders, which start elsewhere, go on with statistics of
        their batches. PyTorch's function of this name does the same to one module.
        """
        parts = [(name, part) for name, part in self.named_modules() if isinstance(part, Encoder)]
        self.frozen_bn_stats = tuple(name for name, part in parts if _is_equal(part, self.encoder))
        self.train(self.training)

    def train(self, mode: bool = True) -> Nets:
        """Set the mode of all parts that still learn; finished parts and frozen statistics stay in eval mode."""
        super().train(mode)
        for name in self.finished:
            getattr(self, name).eval()
        for name in self.frozen_bn_stats:
            for module in batch_norms(self.get_submodule(name)):
                module.eval()
        return self


def batch_norms(network: nn.Module) -> list[nn.Module]:
    """Its layers of batch normalisation."""
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def _is_equal(network: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same tensors under the same names."""
    first, second = network.state_dict(), other.state_dict()
    if first.keys() != second.keys():
        return False
    return all(torch.equal(first[name], second[name]) for name in first)


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """While the context is open, batch normalisation uses its running statistics and does not update them.

    For generated images: statistics of real and generated images together would describe neither.
    """
    moving = [module for module in batch_norms(network) if module.training]
    for module in moving:
        module.eval()
    try:
        yield
    finally:  # steps may go on without what failed, such as the capture of a CUDA graph
        for module in moving:
            module.train()
