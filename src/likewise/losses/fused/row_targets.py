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

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.differentiated import differentiated
from likewise.losses.fused.devices import readable
from likewise.losses.fused.tiling import height, padded
from likewise.losses.fused.unit_rows import MOST_COLUMNS

CLASSES = 1024
"""That a program holds at a time."""


def serves_logits(logits: Tensor, targets: Tensor, temperature: float = 1.0) -> bool:
    """Whether the kernels can make a loss of logits and targets [N, C]."""
    if isinstance(temperature, Tensor) or not temperature > 0:
        return False
    return readable(logits, targets)


def serves_vectors(prediction: Tensor, target: Tensor) -> bool:
    """Whether the kernels can make a loss of vectors [N, D]."""
    return prediction.shape[1] <= MOST_COLUMNS and readable(prediction, target)


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor | None:
    """With the gradient of ``logits``."""
    return _of_logits(logits, targets, 1.0, distils=False)


def knowledge_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor | None:
    """With the gradient of ``student``."""
    return _of_logits(student, teacher, temperature, distils=True)


def cosine_regression(prediction: Tensor, target: Tensor) -> Tensor | None:
    """With the gradient of ``prediction``."""
    if not serves_vectors(prediction, target):
        return None
    width = prediction.shape[1]
    flags = {"WIDTH": padded(width), "ROWS": height(width, 4)}
    return _of_rows("cosine_kernel", prediction, target, (), flags)


def _of_logits(logits: Tensor, targets: Tensor, temperature: float, distils: bool) -> Tensor | None:
    if not serves_logits(logits, targets, temperature):
        return None
    width = min(padded(logits.shape[1]), CLASSES)
    flags = {"WIDTH": width, "ROWS": height(width, 16), "DISTILS": distils}
    return _of_rows("logits_kernel", logits, targets, (float(temperature),), flags)


def _of_rows(
    kernel: str,
    rows: Tensor,
    targets: Tensor,
    numbers: tuple[float, ...],
    flags: dict[str, int],
) -> Tensor:
    """The loss, by a kernel that writes what each row adds to it, [N], and the gradient of the rows [N, D]."""
    gradient = torch.empty(rows.shape, dtype=torch.float32, device=rows.device)
    loss = gradient.new_empty(len(rows))
    given = rows.detach().contiguous(), targets.detach().contiguous()
    launched = getattr(kernels("losses.fused.kernels.row_targets"), kernel)
    with torch.cuda.device_of(rows):
        launched[(blocks(len(rows), flags["ROWS"]),)](
            *(*given, *numbers, loss, gradient, len(rows)), D=rows.shape[1], **flags
        )
    return differentiated(loss.sum(), (rows, gradient))
