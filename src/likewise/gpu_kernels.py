"""Where our Triton kernels run, and how small numbers get there."""

from __future__ import annotations

import functools
import importlib.util
import os
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor

OLDEST_TRITON = (3, 3)
"""The oldest that the kernels were compiled with; it comes with PyTorch 2.7."""


def runs_on(device: torch.device) -> bool:
    """Whether the kernels run there: CUDA of compute capability 7.5 (Turing) or later, with Triton 3.3 or later.

    AMD devices are untried, and not served. ``LIKEWISE_NATIVE=0`` turns the kernels off, as it does the compiled code
    of CPUs.
    """
    if device.type != "cuda" or os.environ.get("LIKEWISE_NATIVE", "1") == "0":
        return False
    if torch.version.hip is not None or torch.cuda.get_device_capability(device) < (7, 5):
        return False
    return _triton_version() >= OLDEST_TRITON


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Small numbers from the CPU; the host does not wait for the copy."""
    if device.type == "cuda" and not drawn.is_cuda:
        drawn = drawn.pin_memory()
    return drawn.to(device, non_blocking=True)


@functools.cache
def _triton_version() -> tuple[int, ...]:
    """(0,) where it is not installed."""
    if importlib.util.find_spec("triton") is None:
        return (0,)
    try:
        return tuple(int(part) for part in version("triton").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return (0,)
