"""Overlapping local learning: a stage runs once, and its output is returned twice with different gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def overlap(stage: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Run a stage and return its output twice; the values are equal, but gradients flow differently.

    The gradient of the first output reaches the stage's parameters and ``maps``. The gradient of the second output
    stops at the parameters. So a loss on the first output trains this stage and the one below, if ``maps`` is the
    second output of that one; and a stage on top of the second output trains this stage too. With autograd alone
    this needs two forward passes, which doubles the activations and updates the running statistics twice.

    The stage's saved activations are freed after the backward pass of the second output.
    """
    if not torch.is_grad_enabled():
        output = stage(maps)
        return output, output
    return _Overlap.apply(stage, maps, *(p for p in stage.parameters() if p.requires_grad))  # type: ignore[no-any-return]


class _Overlap(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, stage: nn.Module, maps: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)  # an output without gradient costs no backward pass
        ctx.input = maps.detach().requires_grad_(maps.requires_grad)
        ctx.parameters = parameters
        with torch.enable_grad():
            ctx.output = stage(ctx.input)
        return ctx.output.detach(), ctx.output.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        through, here = gradients
        learned, below = len(ctx.parameters), None
        if through is None and here is None:
            return None, None, *([None] * learned)
        if ctx.output is None:
            raise RuntimeError(
                "A stage was differentiated a second time after its saved activations were freed."
            )
        total: list[Any] = [None] * learned
        if through is not None:
            wanted = list(ctx.parameters)
            if ctx.input.requires_grad:
                wanted.append(ctx.input)
            total = list(torch.autograd.grad(ctx.output, wanted, through, retain_graph=True))
            below = total.pop() if ctx.input.requires_grad else None
        if here is not None:
            found = torch.autograd.grad(ctx.output, ctx.parameters, here)
            total = [b if a is None else a + b for a, b in zip(total, found, strict=True)]
            # The output too, which would otherwise live as long as the whole graph.
            ctx.output = ctx.input = None
        return None, below, *total
