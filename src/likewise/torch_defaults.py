"""PyTorch's global defaults while code of this package runs: a user's program may have changed them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

CPU = torch.device("cpu")


def float32_matmul_precision() -> str:
    """`torch.get_float32_matmul_precision`: highest, high or medium.

    PyTorch 2.9 and later raise an error there after ``torch.backends.cuda.matmul.fp32_precision`` was set; the answer
    is then what that means for a GPU.
    """
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return "high" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "highest"


@contextmanager
def torch_defaults() -> Iterator[None]:
    """New tensors are float32 and on the CPU, and gradients are computed; afterwards all is as it was.

    Programs set ``torch.set_default_dtype(torch.float64)``, ``torch.set_default_device("cuda")`` or
    ``torch.set_grad_enabled(False)`` for themselves.
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device() != CPU:
            stack.enter_context(CPU)
        yield
