"""Stages that are trained apart and yet overlap: a stage is run once, but its output has two faces."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def overlap(stage: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Run a stage and give its output twice, equal in value, unlike in where their gradient goes.

    Gradient of the first face passes through the stage's parameters and on to ``maps``. Gradient of the second stops
    after the parameters. So a loss on the first face trains this stage and the one below, if ``maps`` is that one's
    second face; and a stage run on the second face trains this one too. Whole-graph differentiation has no such edge:
    it would take two runs of the stage, with twice the activations and twice the moves of running statistics.

    What the stage keeps for its backward is freed when the second face's gradient has come.
    """
    if not torch.is_grad_enabled():
        made = stage(maps)
        return made, made
    return _Overlap.apply(stage, maps, *(p for p in stage.parameters() if p.requires_grad))  # type: ignore[no-any-return]


class _Overlap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, stage: nn.Module, maps: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)  # a face without gradient costs no traversal
        ctx.shown = maps.detach().requires_grad_(maps.requires_grad)
        ctx.parameters = parameters
        with torch.enable_grad():
            ctx.made = stage(ctx.shown)
        return ctx.made.detach(), ctx.made.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        through, here = gradients
        learned, below = len(ctx.parameters), None
        if through is None and here is None:
            return None, None, *([None] * learned)
        if ctx.made is None:
            raise RuntimeError("A stage was differentiated a second time after what it keeps for that was freed.")
        total: list[Any] = [None] * learned
        if through is not None:
            wanted = [*ctx.parameters, *([ctx.shown] if ctx.shown.requires_grad else [])]
            total = list(torch.autograd.grad(ctx.made, wanted, through, retain_graph=True))
            below = total.pop() if ctx.shown.requires_grad else None
        if here is not None:
            found = torch.autograd.grad(ctx.made, ctx.parameters, here)
            total = [b if a is None else a + b for a, b in zip(total, found, strict=True)]
            ctx.made = ctx.shown = None  # its output too, which would else live as long as the whole graph
        return None, below, *total
