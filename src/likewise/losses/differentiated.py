"""A loss whose gradient is known already."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.losses.second_derivatives import refuse_second_derivatives


def differentiated(loss: Tensor, *known: tuple[Tensor | float, Tensor]) -> Tensor:
    """The loss, such that its backward hands each tensor the gradient given for it.

    For losses that are made together with their gradient, or differentiated piece by piece, so that no two pieces are
    in memory together: whoever calls ``backward`` on the result need not know, be it a scaler of gradients or data
    parallelism.

    Args:
        loss: a scalar.
        *known: tensors, each with its gradient in its shape; that of a tensor of one number may come in parts, which
            the backward sums. A number that is no tensor takes none.
    """
    inputs, gradients = zip(*known, strict=True)
    return _Differentiated.apply(loss.detach(), gradients, *inputs)  # type: ignore[no-any-return]


class _Differentiated(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, loss: Tensor, gradients: tuple[Tensor, ...], *inputs: Tensor | float
    ) -> Tensor:
        ctx.save_for_backward(*gradients)
        ctx.shapes = [each.shape if isinstance(each, Tensor) else None for each in inputs]
        ctx.mark_dirty(loss)  # so that it is the result, and not copied
        return loss

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        refuse_second_derivatives()
        (slope,) = upstream
        found: list[Tensor | None] = [None, None]
        wanted = ctx.needs_input_grad[2:]
        for is_wanted, shape, gradient in zip(wanted, ctx.shapes, ctx.saved_tensors, strict=True):
            if not is_wanted:
                found.append(None)
            elif gradient.shape == shape:
                found.append(gradient * slope.to(gradient.dtype))
            else:
                found.append((gradient.sum() * slope).reshape(shape))
        return tuple(found)
