"""Losses leave mixed precision: bfloat16 logits lose the third decimal of an InfoNCE."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
from torch import Tensor
from torch.nn import functional

from likewise.losses.fused import unit_rows
from likewise.losses.input_checks import LossInputError
from likewise.losses.waiting import transformed

P = ParamSpec("P")


class _Unit(torch.autograd.Function):
    """`torch.nn.functional.normalize` with its backward written out: a third of the operations, and of the time."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, length: float, by_kernels: bool) -> Tensor:
        if by_kernels:
            direction, factor = unit_rows.forward(z, length)
        else:
            direction, factor = z * (length / _length(z)), None
        ctx.length = length
        ctx.save_for_backward(z, direction, factor)
        return direction

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        z, direction, factor = ctx.saved_tensors
        (gradient,) = gradients
        if factor is not None and not torch.is_grad_enabled():  # as it is under create_graph
            return unit_rows.backward(gradient, direction, factor, ctx.length, z.dtype), None, None
        # Moving along itself turns nothing.
        along = (direction * gradient).sum(dim=1, keepdim=True) / ctx.length**2  # [N, 1]
        across = torch.addcmul(gradient, direction, along, value=-1)  # [N, D]
        return across * (ctx.length / _length(z)), None, None


def _length(z: Tensor) -> Tensor:
    return torch.linalg.vector_norm(_widen(z), dim=1, keepdim=True).clamp_min(1e-12)


def unit(z: Tensor, length: float | Tensor = 1.0) -> Tensor:
    """Rows [B, D] of length 1, or another; half precision is widened to float32 first. A row of zeros stays one."""
    if isinstance(length, Tensor):
        return unit(z) * length
    if transformed():
        return functional.normalize(_widen(z), dim=1) * length
    if unit_rows.serves(z):
        return _Unit.apply(z, length, True)  # type: ignore[no-any-return]
    with torch.autocast(z.device.type, enabled=False):
        return _Unit.apply(_widen(z), length, False)  # type: ignore[no-any-return]


def _widen(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value


def in_float32(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Run a loss outside autocast, with half-precision inputs widened to float32; float64 stays float64."""

    @functools.wraps(loss)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        first = next(iter((*args, *kwargs.values())), None)
        while isinstance(first, list | tuple) and first and isinstance(first[0], Tensor):
            first = first[0]  # one tensor for each view
        if not isinstance(first, Tensor):
            kind = type(first).__name__
            raise LossInputError(
                f"{loss.__name__} takes tensors; {kind} was given. Convert it with torch.as_tensor."
            )
        named = {name: _widen(value) for name, value in kwargs.items()}
        with torch.autocast(first.device.type, enabled=False):
            return loss(*map(_widen, args), **named)  # type: ignore[arg-type]

    return wrapped
