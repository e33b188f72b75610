"""Losses leave mixed precision: bfloat16 logits lose the third decimal of an InfoNCE."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
from torch import Tensor, nn

P = ParamSpec("P")


def unit(z: Tensor) -> Tensor:
    """Rows [B, D] of length 1; half precision is widened to float32 first."""
    with torch.autocast(z.device.type, enabled=False):
        return nn.functional.normalize(_widen(z), dim=1)


def _widen(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if half else value


def in_float32(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Run a loss outside autocast, with half-precision inputs widened to float32; float64 stays float64."""

    @functools.wraps(loss)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        device = next(a.device.type for a in (*args, *kwargs.values()) if isinstance(a, Tensor))
        with torch.autocast(device, enabled=False):
            return loss(*map(_widen, args), **{name: _widen(value) for name, value in kwargs.items()})  # type: ignore[arg-type]

    return wrapped
