"""A loss whose gradient is known already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def differentiated(loss: Tensor, gradients: Mapping[Tensor, Tensor]) -> Tensor:
    """The loss, such that its backward hands each tensor the gradient given for it.

    For losses that are made and differentiated piece by piece, so that no two pieces are in memory together: whoever
    calls ``backward`` on the result need not know, be it a scaler of gradients or data parallelism.

    Args:
        loss: a scalar.
        gradients: of tensors that require gradient, in their shapes.
    """
    return _Differentiated.apply(loss.detach(), list(gradients.values()), *gradients)  # type: ignore[no-any-return]


class _Differentiated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: list[Tensor], *tensors: Tensor) -> Tensor:
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> Any:
        return (
            None,
            None,
            *(gradient * upstream[0].to(gradient.dtype) for gradient in ctx.gradients),
        )
