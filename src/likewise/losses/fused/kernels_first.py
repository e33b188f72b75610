"""Losses that kernels make where they can, and PyTorch's operations elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from likewise.losses.fused.devices import interpreted

P = ParamSpec("P")
ResultT = TypeVar("ResultT")


def kernels_first(
    by_kernels: Callable[P, ResultT | None],
) -> Callable[[Callable[P, ResultT]], Callable[P, ResultT]]:
    """Let kernels make a loss where they can, from inputs as they come; ``by_kernels`` gives None where they cannot."""

    def decorated(loss: Callable[P, ResultT]) -> Callable[P, ResultT]:
        @functools.wraps(loss)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> ResultT:
            first = args[0] if args else next(iter(kwargs.values()), None)
            on_gpu = isinstance(first, Tensor) and (first.is_cuda or interpreted())
            on_gpu = on_gpu and not torch.compiler.is_compiling()
            found = by_kernels(*args, **kwargs) if on_gpu else None
            return loss(*args, **kwargs) if found is None else found

        return wrapped

    return decorated
