"""How float32 matrices are multiplied while a run trains: PyTorch's ``torch.set_float32_matmul_precision``.

https://docs.pytorch.org/docs/stable/generated/torch.set_float32_matmul_precision.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from likewise.torch_defaults import float32_matmul_precision

MatmulPrecision = Literal["highest", "high", "medium"]
"""PyTorch's words: float32, TensorFloat-32, or bfloat16 where the hardware has units for it."""


@contextmanager
def matmul_precision(wanted: MatmulPrecision) -> Iterator[str]:
    """While the context is open, float32 matrices are multiplied so; afterwards as before.

    Yields:
        what to say where the program has another setting; else empty.
    """
    of_program = float32_matmul_precision()
    backends = [(each, each.fp32_precision) for each in _backends()]
    torch.set_float32_matmul_precision(wanted)
    try:
        yield "" if of_program == wanted else _difference(wanted, of_program)
    finally:
        torch.set_float32_matmul_precision(of_program)
        for backend, before in backends:
            backend.fp32_precision = before


def _difference(wanted: str, of_program: str) -> str:
    return (
        f"This program multiplies float32 matrices in precision {of_program} (torch.set_float32_matmul_precision); the "
        f"run does so in {wanted}. --matmul-precision {of_program} gives it the same."
    )


def _backends() -> list[Any]:
    """Where PyTorch 2.9 and later keep a setting for each kind of device beside that for all."""
    modules: list[Any] = [torch.backends.cuda, torch.backends.mkldnn]
    matrices = [getattr(module, "matmul", None) for module in modules]
    return [each for each in matrices if hasattr(each, "fp32_precision")]
