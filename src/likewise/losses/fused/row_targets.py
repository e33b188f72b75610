"""Losses of rows with a target each on a GPU, in two launches forward and one backward.

The mean over N rows. For logits with s_ic those of row i over the temperature T, L_i = log sum_c e^{s_ic}, and targets
t_ic; for vectors with p_i and t_i the prediction and the target at length 1, and |p_i| the length as it was given::

    soft_cross_entropy       loss_i      sum_c t_ic (L_i - s_ic),  T = 1
                             gradient_i  e^{s_i - L_i} sum_c t_ic - t_i
    knowledge_distillation   loss_i      T^2 sum_c t_ic (log t_ic + L_i - s_ic),  t_i the teacher's softmax at T
                             gradient_i  T (e^{s_i - L_i} - t_i)
    cosine_regression        loss_i      2 - 2 p_i . t_i
                             gradient_i  2 ((p_i . t_i) p_i - t_i) / |p_i|

Targets take no gradient, so the forward has all of it. `distillation` and `regression` have the same from PyTorch's
operations, for every device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused.devices import readable
from likewise.losses.fused.tiling import height, padded
from likewise.losses.fused.unit_rows import MOST_COLUMNS
from likewise.losses.second_derivatives import refuse_second_derivatives

CLASSES = 1024
"""That a program holds at a time."""

Launch = Callable[[Tensor, Tensor, Tensor, Tensor], None]
"""Writes what each of some rows with their targets adds to the loss, [N], and their gradient."""


def serves_logits(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> bool:
    """Whether the kernels can make a loss of logits and targets [N, C]."""
    if isinstance(temperature, Tensor) or not temperature > 0:
        return False
    return readable(logits, targets)


def serves_vectors(prediction: Tensor, target: Tensor) -> bool:
    """Whether the kernels can make a loss of vectors [N, D]."""
    return prediction.shape[1] <= MOST_COLUMNS and readable(prediction, target)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """`distillation.soft_cross_entropy`, float32; the gradient of ``logits``."""
    return _of_logits(logits, targets, 1.0, distils=False)


def distillation_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """`distillation.knowledge_distillation`, float32; the gradient of ``student``."""
    return _of_logits(student, teacher, float(temperature), distils=True)


def cosine_loss(prediction: Tensor, target: Tensor) -> Tensor:
    """`regression.cosine_regression`, float32; the gradient of ``prediction``."""

    def launch(rows: Tensor, targets: Tensor, loss: Tensor, gradient: Tensor) -> None:
        count, width = rows.shape
        at_once = height(width, 4)
        kernel = kernels("losses.fused.kernels.row_targets").cosine_kernel
        shape = {"D": width, "WIDTH": padded(width), "ROWS": at_once}
        kernel[(blocks(count, at_once),)](rows, targets, loss, gradient, count, **shape)

    return _OfRows.apply(prediction, target, launch)  # type: ignore[no-any-return]


def _of_logits(logits: Tensor, targets: Tensor, temperature: float, distils: bool) -> Tensor:
    def launch(rows: Tensor, targets: Tensor, loss: Tensor, gradient: Tensor) -> None:
        count, classes = rows.shape
        width = min(padded(classes), CLASSES)
        at_once = height(width, 16)
        kernel = kernels("losses.fused.kernels.row_targets").logits_kernel
        shape = {"D": classes, "WIDTH": width, "ROWS": at_once, "DISTILS": distils}
        kernel[(blocks(count, at_once),)](
            rows, targets, temperature, loss, gradient, count, **shape
        )

    return _OfRows.apply(logits, targets, launch)  # type: ignore[no-any-return]


class _OfRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, targets: Tensor, launch: Launch) -> Tensor:
        gradient = torch.empty(rows.shape, dtype=torch.float32, device=rows.device)
        loss = gradient.new_empty(len(rows))
        with torch.cuda.device_of(rows):
            launch(rows.contiguous(), targets.contiguous(), loss, gradient)
        ctx.save_for_backward(gradient)
        return loss.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0], None, None
