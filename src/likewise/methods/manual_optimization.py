"""Networks that a method trains with an optimiser of their own, before the step of the main one.

Lightning calls this manual optimisation. A method that needs it overrides `Method.before_step`; UGAN does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import AdamW

from likewise.data.batch import Batch
from likewise.methods.nets import Nets
from likewise.methods.progress import Progress
from likewise.methods.recipe import Recipe
from likewise.methods.step import Outputs, Step, compute_over_ranks


@dataclass(frozen=True)
class Objective:
    """A loss and the network that minimises it, in the two halves of `Method.step`."""

    network: nn.Module
    """what learns; the parameters of all other networks are frozen while its gradient is computed"""
    embed: Callable[[Nets, Batch, Progress], Outputs]
    """per-example work, as in `Method.embed`"""
    compute_loss: Callable[[Nets, Outputs, Progress], Step]
    """the loss of the rows of all ranks, as in `Method.compute_loss`"""

    def step(self, nets: Nets, batch: Batch, progress: Progress) -> Step:
        """Embed, gather and compute the loss."""
        return self.gather_and_compute_loss(nets, self.embed(nets, batch, progress), progress)

    def gather_and_compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """`compute_loss` of this rank's rows and those of all others."""
        return compute_over_ranks(self.compute_loss, nets, outputs, progress)


Backward = Callable[[Objective, Batch, Progress], Step]
"""Computes an objective's loss and puts the gradients of its network into ``.grad``, averaged over ranks and taken a
microbatch at a time where the run is set so."""


class AdamWModule(nn.Module):
    """AdamW for one network, with its state in buffers: it is moved, saved and resumed with the networks around it.

    Args:
        network: what it updates; the same network, or a copy of its shape, is given to `step`.
        recipe: beta 1 (``momentum``), weight decay, and the rate of each step.
    """

    steps: Tensor

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        for name, parameter in network.named_parameters():
            self.register_buffer(_buffer("exp_avg", name), torch.zeros_like(parameter))
            self.register_buffer(_buffer("exp_avg_sq", name), torch.zeros_like(parameter))

    def step(self, network: nn.Module, rate: float | Tensor) -> None:
        """Update the network by the gradients of its parameters, and forget those.

        Args:
            network: whose parameters are updated.
            rate: the learning rate of this step; for a CUDA graph a scalar on the device.
        """
        parameters = dict(network.named_parameters())
        buffers = dict(self.named_buffers())
        betas, weight_decay = (self.recipe.momentum, 0.999), self.recipe.weight_decay
        optimizer = AdamW(
            parameters.values(),
            betas=betas,
            weight_decay=weight_decay,
            fused=True,
            capturable=True,
        )
        optimizer.param_groups[0]["lr"] = rate  # the constructor would look at its value
        for name, parameter in parameters.items():
            optimizer.state[parameter] = {
                "step": self.steps.float(),
                "exp_avg": buffers[_buffer("exp_avg", name)],
                "exp_avg_sq": buffers[_buffer("exp_avg_sq", name)],
            }
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        self.steps += 1


def _buffer(kind: str, parameter: str) -> str:
    """The name of a parameter's buffer; PyTorch allows no dots in it."""
    return f"{kind}/{parameter.replace('.', '/')}"
