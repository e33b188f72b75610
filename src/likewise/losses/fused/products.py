"""How matrices are multiplied on a GPU: by PyTorch, and inside kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.torch_defaults import float32_matmul_precision


def product(left: Tensor, right: Tensor) -> Tensor:
    """Left @ right, in the format of ``right``; half precision is summed and returned in float32."""
    if right.dtype in (torch.float32, torch.float64):
        # Autocast leaves an output that is given alone.
        return torch.mm(left, right, out=left.new_empty(len(left), right.shape[1]))
    left = left.to(right.dtype)
    if right.is_cuda and hasattr(torch.ops.aten.mm, "dtype"):  # PyTorch 2.8 and later
        return torch.mm(left, right, out_dtype=torch.float32)
    return product(left.float(), right.float())


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """`product` added to what is there."""
    if right.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += product(left, right)


def as_multiplied(rows: Tensor) -> Tensor:
    """In the format that PyTorch's setting lets a GPU multiply float32 in; shorter than TensorFloat-32 is bfloat16."""
    # A compiler cannot ask for the setting.
    if rows.is_cuda and float32_matmul_precision() == "medium":
        return rows.bfloat16()
    return rows


def float32_products() -> str:
    """How Triton multiplies float32: by three products in TensorFloat-32, or by one where PyTorch's setting allows it.

    Three make one of float32, on tensor cores. "ieee" would leave them: compiled for capability 9.0, D = 128, it takes
    20 s and spills 7 KB of registers a thread.
    """
    return "tf32x3" if float32_matmul_precision() == "highest" else "tf32"
