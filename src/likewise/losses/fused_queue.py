"""Losses against a queue on a GPU, in three launches forward and one backward: MoCo's and ISD's.

The keys k_a of a queue take no gradient. So one pass over them gives all that a row's loss and its gradient need: with
s_ia = q_i . k_a / temperature, the log-sum, and the mean key under the row's softmax::

    L_i = log sum_a e^{s_ia}
    m_i = sum_a e^{s_ia - L_i} k_a,   which is temperature times the gradient of L_i by q_i

    queue_nce                 loss_i      log(1 + e^{L_i - s_i}),  s_i = q_i . p_i / temperature, p_i the positive
                              gradient_i  (m_i - p_i) / temperature, times the softmax's share of the queue
    similarity_distillation   loss_i      L_i - q_i . n_i / temperature - (M_i - t_i . n_i / teacher_temperature)
                              gradient_i  (m_i - n_i) / temperature

where M_i and n_i are the log-sum and the mean key of the teacher's row t_i. That by the temperature is the sum of
-q_i . gradient_i / temperature. `contrastive.queue_nce` and `distillation.similarity_distillation` have the same from
PyTorch's operations, for every device.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from likewise.losses import tiles_triton
from likewise.losses.fused_batch import PROGRAMS
from likewise.losses.similarity_sums import refuse_second_derivatives
from likewise.losses.triton_launch import Tiles, blocks, filled, float32_products, padded

FORMATS = (torch.float32, torch.bfloat16, torch.float16)

MOST_COLUMNS = 256
"""D; a block of rows and its mean keys lie in registers."""


def serves(queries: Tensor, partners: Tensor, queue: Tensor, *temperatures: float | Tensor) -> bool:
    """Whether these kernels can make a loss of rows [B, D], their partners [B, D] and a queue [K, D]."""
    matrices = queries, partners, queue
    if not all(isinstance(matrix, Tensor) and matrix.dim() == 2 for matrix in matrices):
        return False
    width, device = queries.shape[1], queries.device
    fits = (
        queries.shape == partners.shape
        and queue.shape[1] == width
        and min(len(queries), len(queue)) > 0
    )
    if not fits or not 1 <= width <= MOST_COLUMNS:
        return False
    alike = all(matrix.dtype in FORMATS and matrix.device == device for matrix in matrices)
    return (
        alike
        and all(_is_number(each, device) for each in temperatures)
        and tiles_triton.run_on(device)
    )


def _is_number(temperature: float | Tensor, device: torch.device) -> bool:
    """Whether it is a single one, which a kernel can read."""
    if isinstance(temperature, Tensor):
        return (
            temperature.numel() == 1
            and temperature.device == device
            and temperature.dtype in FORMATS
        )
    return temperature > 0


def queue_loss(
    queries: Tensor, positives: Tensor, queue: Tensor, temperature: float | Tensor
) -> Tensor:
    """`contrastive.queue_nce`, float32; gradients of ``queries`` and ``temperature``."""
    return _AgainstQueue.apply(queries, positives, queue, temperature, None)  # type: ignore[no-any-return]


def distillation_loss(
    student: Tensor, teacher: Tensor, queue: Tensor, temperature: float, teacher_temperature: float
) -> Tensor:
    """`distillation.similarity_distillation`, float32; the gradient of ``student``."""
    return _AgainstQueue.apply(student, teacher, queue, temperature, teacher_temperature)  # type: ignore[no-any-return]


class _AgainstQueue(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        partners: Tensor,
        queue: Tensor,
        temperature: float | Tensor,
        teacher_temperature: float | None,
    ) -> Tensor:
        ctx.shape = temperature.shape if isinstance(temperature, Tensor) else None
        queries, partners, queue = queries.contiguous(), partners.contiguous(), queue.contiguous()
        rows, distils, kernels = len(queries), teacher_temperature is not None, _kernels()
        gradient = queries.new_empty(queries.shape, dtype=torch.float32)
        tiles = filled(_tiles(queries.shape[1]), gradient, queue, PROGRAMS)
        sides, splits = 1 + distils, tiles.splits or 1
        log_sums = queries.new_empty([sides, splits, rows], dtype=torch.float32)
        means = queries.new_empty([sides, splits, *queries.shape], dtype=torch.float32)
        loss, by_temperature = queries.new_empty([2, rows], dtype=torch.float32)
        shape = {
            "D": queries.shape[1],
            "WIDTH": padded(queries.shape[1]),
            "LEARNED": isinstance(temperature, Tensor),
        }
        temperatures = temperature, teacher_temperature or 1.0
        with torch.cuda.device_of(queries):
            kernels.softmax_kernel[(blocks(rows, tiles.rows), splits, sides)](
                *(queries, partners, queue, *temperatures, log_sums, means, rows, len(queue)),
                **(
                    shape
                    | {
                        "ROWS": tiles.rows,
                        "COLUMNS": tiles.columns,
                        "PRECISION": float32_products(),
                    }
                ),
                num_warps=tiles.warps,
                num_stages=tiles.stages,
            )
            kernels.loss_kernel[(blocks(rows, LOSS_ROWS),)](
                *(
                    queries,
                    partners,
                    *temperatures,
                    log_sums,
                    means,
                    loss,
                    gradient,
                    by_temperature,
                    rows,
                    splits,
                ),
                **(shape | {"ROWS": LOSS_ROWS, "DISTILS": distils}),
            )
        ctx.save_for_backward(gradient, by_temperature)
        return loss.mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        (upstream,), (by_queries, by_temperature) = gradients, ctx.saved_tensors
        of_queries = by_queries * upstream if ctx.needs_input_grad[0] else None
        of_temperature = (
            (by_temperature.sum() * upstream).reshape(ctx.shape)
            if ctx.needs_input_grad[3]
            else None
        )
        return of_queries, None, None, of_temperature, None


LOSS_ROWS = 4
"""Rows of a program of the second kernel, which only reads: small, so that many processors read."""


def _tiles(width: int) -> Tiles:
    """How the pass over the queue is cut; NO GPU HAS MEASURED IT YET."""
    return Tiles(32, 32, 4, 2) if padded(width) <= 128 else Tiles(16, 32, 8, 2)


def _kernels() -> ModuleType:
    """Imported late, since it needs Triton."""
    from likewise.losses import triton_queue_kernels

    return triton_queue_kernels
