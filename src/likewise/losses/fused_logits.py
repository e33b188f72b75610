"""Cross-entropy of logits against soft targets on a GPU, in two launches forward and one backward.

With s_ic the logits of row i over the temperature T, L_i = log sum_c e^{s_ic}, and targets t_ic::

    soft_cross_entropy       loss_i      sum_c t_ic (L_i - s_ic),  T = 1
                             slope_ic    e^{s_ic - L_i} sum_d t_id - t_ic
    knowledge_distillation   loss_i      T^2 sum_c t_ic (log t_ic + L_i - s_ic),  t_i the teacher's softmax at T
                             slope_ic    T (e^{s_ic - L_i} - t_ic)

and the mean over N rows. Targets take no gradient, so the forward has all of it. `distillation` has the same from
PyTorch's operations, for every device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.losses import tiles_triton
from likewise.losses.similarity_sums import refuse_second_derivatives
from likewise.losses.triton_launch import blocks, height, kernels, padded

WIDEST = 1024
"""Classes that a program holds at a time."""


def serves(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> bool:
    """Whether this kernel can make a loss of logits and targets [N, C]."""
    if isinstance(temperature, Tensor) or not temperature > 0:
        return False
    return tiles_triton.readable(logits, targets)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """`distillation.soft_cross_entropy`, float32; the gradient of ``logits``."""
    return _OfLogits.apply(logits, targets, 1.0, False)  # type: ignore[no-any-return]


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`distillation.knowledge_distillation`, float32; the gradient of ``student``."""
    return _OfLogits.apply(student, teacher, temperature, True)  # type: ignore[no-any-return]


class _OfLogits(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, temperature: float, distils: bool
    ) -> Tensor:
        logits, targets = logits.contiguous(), targets.contiguous()
        rows, classes = logits.shape
        gradient = torch.empty(logits.shape, dtype=torch.float32, device=logits.device)
        loss = gradient.new_empty(rows)
        width = min(padded(classes), WIDEST)
        at_once = height(width, 16)
        with torch.cuda.device_of(logits):
            rows_kernel = kernels("triton_logits_kernels").rows_kernel
            rows_kernel[(blocks(rows, at_once),)](
                *(logits, targets, float(temperature), loss, gradient, rows),
                D=classes,
                WIDTH=width,
                ROWS=at_once,
                DISTILS=distils,
            )
        ctx.save_for_backward(gradient)
        return loss.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None, None
