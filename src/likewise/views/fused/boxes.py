"""Random boxes on a GPU, and where the kernels of this folder run at all."""

from __future__ import annotations

import functools
import importlib.util
import math
import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import torch
from torch import Tensor

TRIES = 10
"""Attempts at a box that fits, as in torchvision's ``RandomResizedCrop``."""

OLDEST_TRITON = (3, 3)
"""The oldest that the kernels were compiled with; it comes with PyTorch 2.7."""

ROWS = 32
"""Boxes of a program."""


class BoxDraws(NamedTuple):
    """The random numbers of a batch of boxes."""

    share: Tensor
    """float32 [B, TRIES], of the image's area"""
    log_ratio: Tensor
    """float32 [B, TRIES], the logarithm of width / height in the file"""
    across: Tensor
    """float32 [B] in [-1, 1), position of the box within the remaining space"""
    down: Tensor
    """float32 [B], the same below and above"""
    mirrored: Tensor
    """bool [B]"""


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


def boxes(random: BoxDraws, aspect: Tensor, ratio: tuple[float, float]) -> Tensor:
    """``crop.boxes`` on the device of the aspect: float32 [B, 2, 3]."""
    positions = torch.stack([random.across, random.down, random.mirrored.float()], dim=1)  # [B, 3]
    columns = [random.share, random.log_ratio, positions]
    drawn = to_device(torch.cat(columns, dim=1), aspect.device)  # [B, 2 * TRIES + 3]
    count = len(drawn)
    found = torch.empty(count, 2, 3, device=aspect.device)
    if count:
        launch = kernel("box_kernel")[(math.ceil(count / ROWS),)]
        with torch.cuda.device_of(found):
            launch(
                drawn,
                aspect.float(),
                found,
                *ratio,
                count,
                ROWS=ROWS,
                num_warps=1,
            )
    return found


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Small numbers from the CPU; the host does not wait for the copy."""
    if device.type == "cuda" and not drawn.is_cuda:
        drawn = drawn.pin_memory()
    return drawn.to(device, non_blocking=True)


def kernel(name: str) -> Any:
    """A kernel by its name, imported here, since it needs Triton, and since its import takes long."""
    from likewise.views.fused import kernels

    return getattr(kernels, name)


@functools.cache
def _triton_version() -> tuple[int, ...]:
    """(0,) where it is not installed."""
    if importlib.util.find_spec("triton") is None:
        return (0,)
    try:
        return tuple(int(part) for part in version("triton").split(".")[:2])
    except (PackageNotFoundError, ValueError):
        return (0,)
