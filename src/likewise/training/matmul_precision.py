"""How float32 matrices are multiplied while a run trains: PyTorch's ``torch.set_float32_matmul_precision``.

https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

MatmulPrecision = Literal["highest", "high", "medium"]
"""PyTorch's words: float32, TensorFloat-32, or bfloat16 where the hardware has units for it."""


@contextmanager
def matmul_precision(wanted: MatmulPrecision) -> Iterator[None]:
    """While the context is open, float32 matrices are multiplied so; afterwards as before.

    A program may have said so by ``torch.backends.*.matmul.fp32_precision`` too, which PyTorch then keeps beside this.
    """
    general = _general()
    backends = [(each, each.fp32_precision) for each in _backends()]
    torch.set_float32_matmul_precision(wanted)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(general)
        for backend, before in backends:
            backend.fp32_precision = before


def _general() -> str:
    """The setting for all devices; the default where a program has set them apart, and PyTorch cannot tell."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "highest"


def _backends() -> list[Any]:
    """Where PyTorch 2.9 and later keep a setting for each device."""
    modules: list[Any] = [torch.backends.cuda, torch.backends.mkldnn]
    matrices = [getattr(module, "matmul", None) for module in modules]
    return [each for each in matrices if hasattr(each, "fp32_precision")]
