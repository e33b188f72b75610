"""Rows of one length on a GPU, in one launch forward and one backward; `float32.unit` has the definition."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from likewise.losses import tiles_triton
from likewise.losses.triton_launch import blocks, padded

MOST_COLUMNS = 8192
"""D; a row lies in the registers of one program."""


def serves(z: Tensor) -> bool:
    """Whether the kernels take such rows [N, D]."""
    # A compiler fuses PyTorch's operations.
    if torch.compiler.is_compiling() or not tiles_triton.run_on(z.device):
        return False
    usual = z.is_floating_point() and z.dtype != torch.float64
    return usual and z.dim() == 2 and z.numel() > 0 and z.shape[1] <= MOST_COLUMNS


def forward(z: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """Float32 rows [N, D] of that length, and by what each was multiplied, [N]."""
    z = z.contiguous()
    direction = torch.empty(z.shape, dtype=torch.float32, device=z.device)
    factor = direction.new_empty(len(z))
    height, shape = _shape(z)
    with torch.cuda.device_of(z):
        _kernels().unit_kernel[(blocks(len(z), height),)](
            z, direction, factor, len(z), length, **shape
        )
    return direction, factor


def backward(
    gradient: Tensor, direction: Tensor, factor: Tensor, length: float, dtype: torch.dtype
) -> Tensor:
    """The gradient [N, D] of the rows as they were given, in their format."""
    found = torch.empty(direction.shape, dtype=dtype, device=direction.device)
    height, shape = _shape(direction)
    with torch.cuda.device_of(direction):
        _kernels().unit_gradient_kernel[(blocks(len(direction), height),)](
            *(gradient.contiguous(), direction, factor, found, len(direction), length**2), **shape
        )
    return found


def _shape(z: Tensor) -> tuple[int, dict[str, int]]:
    """Rows of a program, fewer where they are wide; and the kernels' constants."""
    width = padded(z.shape[1])
    height = max(1, min(16, 2048 // width))
    return height, {"D": z.shape[1], "WIDTH": width, "ROWS": height}


def _kernels() -> ModuleType:
    """Imported late, since it needs Triton."""
    from likewise.losses import triton_batch_kernels

    return triton_batch_kernels
