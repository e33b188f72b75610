"""All gradients of a step by one batch on one device, without what Fabric wraps around networks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from likewise.data.batch import Batch
from likewise.methods import Method, Nets, Progress, Step
from likewise.training.accumulation import with_metrics_of
from likewise.training.cached_gradients import gradients_of
from likewise.training.manual_backward import AutocastLearner, ManualBackward
from likewise.training.one_device import OneDevice

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class OneDeviceGradients:
    """The method's own updates, then forward and backward of its loss, as a CUDA graph can hold them.

    Args:
        fabric: device and precision, launched.
        method: the rule.
        nets: what it built.
        pieces: microbatches in a batch.
        counted: entered for forward and backward of the main loss.
    """

    def __init__(
        self,
        fabric: Fabric,
        method: Method,
        nets: Nets,
        pieces: int,
        counted: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self.method, self.nets, self.counted = method, nets, counted
        device = OneDevice(fabric)
        self.gradients = gradients_of(device, AutocastLearner(device, method, nets), pieces)
        self.manual_backward = ManualBackward(fabric, nets, pieces)
        self.own_losses: list[str] = []
        """names of the losses of the method's own updates among the metrics"""

    def __call__(self, batch: Batch, progress: Progress) -> Step:
        """Add the gradients to ``.grad``."""
        own_steps = self.method.before_step(self.nets, batch, progress, self.manual_backward)
        self.own_losses = [f"{name}_loss" for name in own_steps]
        with self.counted():
            step = self.gradients.forward(batch, progress)
            self.gradients.backward(step)
        return with_metrics_of(step._replace(loss=step.loss.detach()), own_steps)
