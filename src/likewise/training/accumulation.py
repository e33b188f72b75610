"""Several losses as one: of the batches of an optimiser step, and of a method's own updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from likewise.methods import Step


def with_metrics_of(step: Step, own_steps: Mapping[str, Step]) -> Step:
    """A step whose metrics hold those of the method's own updates, and their losses as ``<name>_loss``."""
    metrics: dict[str, Tensor] = {}
    for name, own_step in own_steps.items():
        metrics[f"{name}_loss"] = own_step.loss
        metrics |= own_step.metrics
    return step._replace(metrics={**metrics, **step.metrics})


def mean_step(steps: Sequence[Step]) -> Step:
    """Several batches as one step: the mean of losses and metrics, and the rows of all for the memories."""
    if len(steps) == 1:
        return steps[0]
    loss = torch.stack([step.loss for step in steps]).mean()
    metrics: dict[str, Tensor] = {}
    for name in steps[-1].metrics:
        values = [step.metrics[name].float() for step in steps if name in step.metrics]
        metrics[name] = torch.stack(values).mean()
    memory_updates: dict[str, Tensor] = {}
    for name in steps[-1].memory_updates:
        memory_updates[name] = torch.cat([step.memory_updates[name] for step in steps])
    return Step(loss, metrics, memory_updates)


def divide_gradients(learner: nn.Module, count: int) -> None:
    """Turn the sum of the gradients of several batches into their mean."""
    for parameter in learner.parameters():
        if parameter.grad is not None:
            parameter.grad.div_(count)
