"""Rows of one length on a GPU, in one launch forward and one backward; `float32.unit` has the definition."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused.devices import readable
from likewise.losses.fused.tiling import height, padded

MOST_COLUMNS = 8192
"""D; a row lies in the registers of one program."""


def serves(z: Tensor) -> bool:
    """Whether the kernels take such rows [N, D]."""
    # A compiler fuses PyTorch's operations.
    if torch.compiler.is_compiling() or not readable(z):
        return False
    return z.dim() == 2 and z.numel() > 0 and z.shape[1] <= MOST_COLUMNS


def forward(z: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """Float32 rows [N, D] of that length, and by what each was multiplied, [N]."""
    z = z.contiguous()
    direction = torch.empty(z.shape, dtype=torch.float32, device=z.device)
    factor = direction.new_empty(len(z))
    at_once, shape = _shape(z)
    with torch.cuda.device_of(z):
        unit_kernel = kernels("losses.fused.kernels.unit_rows").unit_kernel
        unit_kernel[(blocks(len(z), at_once),)](z, direction, factor, len(z), length, **shape)
    return direction, factor


def backward(
    gradient: Tensor, direction: Tensor, factor: Tensor, length: float, dtype: torch.dtype
) -> Tensor:
    """The gradient [N, D] of the rows as they were given, in their format."""
    found = torch.empty(direction.shape, dtype=dtype, device=direction.device)
    rows = len(direction)
    at_once, shape = _shape(direction)
    gradient = gradient.contiguous()
    with torch.cuda.device_of(direction):
        gradient_kernel = kernels("losses.fused.kernels.unit_rows").unit_gradient_kernel
        gradient_kernel[(blocks(rows, at_once),)](
            *(gradient, direction, factor, found, rows, length**2), **shape
        )
    return found


def _shape(z: Tensor) -> tuple[int, dict[str, int]]:
    """Rows of a program, fewer where they are wide; and the kernels' constants."""
    rows = height(z.shape[1], 16)
    return rows, {"D": z.shape[1], "WIDTH": padded(z.shape[1]), "ROWS": rows}
