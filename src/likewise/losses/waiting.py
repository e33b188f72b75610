"""Whether a loss may look at the values of a tensor, which on a GPU makes the host wait for the device.

A step whose host never waits runs ahead of the GPU, and can be captured in a CUDA graph.
"""

from __future__ import annotations

import torch
from torch import Tensor


def may_wait(tensor: Tensor) -> bool:
    """True on a CPU, unless `torch.compile` is tracing the loss, or `torch.func` transforms it."""
    return _host_holds(tensor) and not torch.compiler.is_compiling() and not transformed()


def transformed() -> bool:
    """Whether a transform of `torch.func` (``grad``, ``vmap``, ...) is at work.

    It sees through PyTorch's operations alone. So losses then leave out kernels and backwards of their own.
    """
    if torch.compiler.is_compiling():
        return False
    return torch._C._are_functorch_transforms_active()


def _host_holds(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"
