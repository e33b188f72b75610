"""A backward pass without data parallelism, for gradients that are averaged over ranks by hand."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from torch import Tensor, nn

from likewise.training.precision import precision_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class OneDevice:
    """What gradients need of Fabric, without data parallelism, which knows the main optimiser's networks alone."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    def autocast(self) -> AbstractContextManager:
        """The run's number format, but float32 instead of float16."""
        return (
            nullcontext()
            if precision_of(self._fabric).startswith("16")
            else self._fabric.autocast()
        )

    def backward(self, loss: Tensor) -> None:
        """Plain PyTorch's."""
        loss.backward()

    def no_backward_sync(self, learner: nn.Module, enabled: bool) -> AbstractContextManager:
        """Nothing is synchronised by a backward pass."""
        return nullcontext()
