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

from typing import NamedTuple

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.differentiated import differentiated
from likewise.losses.fused.devices import readable
from likewise.losses.fused.products import float32_products
from likewise.losses.fused.tiling import (
    MOST_COLUMNS,
    PROGRAMS,
    Tiles,
    filled,
    height,
    padded,
    parts_of,
)


def serves(queries: Tensor, partners: Tensor, queue: Tensor, *temperatures: float | Tensor) -> bool:
    """Whether these kernels can make a loss of rows [B, D], their partners [B, D] and a queue [K, D]."""
    matrices = queries, partners, queue
    if not all(isinstance(matrix, Tensor) and matrix.dim() == 2 for matrix in matrices):
        return False
    width = queries.shape[1]
    fits = queries.shape == partners.shape and queue.shape[1] == width
    if not fits or not 1 <= width <= MOST_COLUMNS or min(len(queries), len(queue)) == 0:
        return False
    return all(readable(*matrices, temperature=temperature) for temperature in temperatures)


def queue_nce(
    queries: Tensor, positives: Tensor, queue: Tensor, temperature: float | Tensor
) -> Tensor | None:
    """With the gradients of ``queries`` and ``temperature``."""
    if not serves(queries, positives, queue, temperature):
        return None
    loss, gradient, by_temperature = _with_gradients(queries, positives, queue, temperature, None)
    return differentiated(loss, (queries, gradient), (temperature, by_temperature))


def similarity_distillation(
    student: Tensor,
    teacher: Tensor,
    anchors: Tensor,
    student_temperature: float = 0.02,
    teacher_temperature: float = 0.02,
) -> Tensor | None:
    """With the gradient of ``student``."""
    given = student, teacher, anchors, student_temperature, teacher_temperature
    if not serves(*given):
        return None
    loss, gradient, _ = _with_gradients(*given)
    return differentiated(loss, (student, gradient))


@torch.no_grad()
def _with_gradients(
    queries: Tensor,
    partners: Tensor,
    queue: Tensor,
    temperature: float | Tensor,
    teacher_temperature: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, the gradient of the queries [N, D], and that of the temperature by each of them, [N]."""
    queries, partners, queue = queries.contiguous(), partners.contiguous(), queue.contiguous()
    rows, width = queries.shape
    distils = teacher_temperature is not None
    temperatures = temperature, teacher_temperature or 1.0
    softmax = softmax_over(queue, queries, partners if distils else None, temperatures)
    gradient = queries.new_empty(queries.shape, dtype=torch.float32)
    loss, by_temperature = gradient.new_empty([2, rows])
    results = loss, gradient, by_temperature
    splits = softmax.log_sums.shape[1]
    at_once = height(width, LOSS_ROWS)
    with torch.cuda.device_of(queries):
        loss_kernel = kernels("losses.fused.kernels.against_queue").loss_kernel
        loss_kernel[(blocks(rows, at_once),)](
            *(queries, partners, *temperatures, *softmax, *results, rows, splits),
            D=width,
            LEARNED=isinstance(temperature, Tensor),
            WIDTH=padded(width),
            ROWS=at_once,
            DISTILS=distils,
        )
    return loss.mean(), gradient, by_temperature


class Softmax(NamedTuple):
    """What rows have of a queue, over each share of it."""

    log_sums: Tensor
    """[sides, splits, N]"""
    mean_keys: Tensor
    """[sides, splits, N, D], under the softmax"""


def softmax_over(
    queue: Tensor,
    queries: Tensor,
    teachers: Tensor | None,
    temperatures: tuple[float | Tensor, float],
) -> Softmax:
    """The softmax over a queue [K, D] of each query [N, D], and on a second side of each teacher's row [N, D]."""
    rows, width = queries.shape
    held, parts = parts_of(width)
    sides = 1 if teachers is None else 2
    # A number is held in four bytes, however the rows come.
    tiles = filled(_tiles(width), queries, queue, PROGRAMS, item_size=4, parts=parts)
    splits = tiles.splits or 1
    log_sums = torch.empty([sides, splits, rows], dtype=torch.float32, device=queries.device)
    found = Softmax(log_sums, log_sums.new_empty([*log_sums.shape, width]))
    second = queries if teachers is None else teachers
    with torch.cuda.device_of(queries):
        softmax_kernel = kernels("losses.fused.kernels.against_queue").softmax_kernel
        softmax_kernel[(blocks(rows, tiles.rows), splits, sides * parts)](
            *(queries, second, queue, *temperatures, *found, rows, len(queue)),
            D=width,
            LEARNED=isinstance(temperatures[0], Tensor),
            WIDTH=held,
            ROWS=tiles.rows,
            COLUMNS=tiles.columns,
            PRECISION=float32_products(),
            num_warps=tiles.warps,
            num_stages=tiles.stages,
        )
    return found


LOSS_ROWS = 4
"""Rows at most of a program of the second kernel, which only reads: small, so that many processors read."""


def _tiles(width: int) -> Tiles:
    """How the pass over the queue is cut; NO GPU HAS MEASURED IT YET."""
    is_wide = padded(width) > 128
    return Tiles(16, 32, 8, 2) if is_wide else Tiles(32, 32, 4, 2)
