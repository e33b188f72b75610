"""CLIP's loss on a GPU, in three launches forward and one backward.

The rows of both sides are one matrix, z = [images; texts]. With s_ij = scale z_i . z_j for rows of different sides, and
the target t_ij = 1 - smoothing for partners and smoothing / (N - 1) for others::

    L_i  = log sum_j e^{s_ij}
    loss = 1/(2N) sum_i ( L_i - sum_j t_ij s_ij )

Its gradient by s_ij, which is a score of both rows, is (e^{s_ij - L_i} + e^{s_ij - L_j} - 2 t_ij) / 2N; that of z_i is
scale times its sum with z_j. Nothing of N x N is stored. `paired.clip_loss` has the same from PyTorch's operations, for
every device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused import against_queue, gpu_sizes
from likewise.losses.fused.products import float32_products
from likewise.losses.fused.tiling import Tiles, filled, parts_of
from likewise.losses.second_derivatives import refuse_second_derivatives

WIDE = 4
"""Bytes of a float32, as which every row is held."""


def serves(images: Tensor, texts: Tensor, scale: float | Tensor) -> bool:
    """Whether these kernels can make the loss of rows [N, D] each."""
    return (
        against_queue.serves(images, texts, texts, scale)
        and 2 <= len(images) <= gpu_sizes.CLIP_PAIRS
    )


def clip_loss(
    images: Tensor, texts: Tensor, scale: float | Tensor, smoothing: float = 0.0
) -> Tensor | None:
    """With the gradients of images, texts and scale."""
    if not 0 <= smoothing < 1 or not serves(images, texts, scale):
        return None
    return _Pairs.apply(torch.cat([images, texts]), scale, smoothing)  # type: ignore[no-any-return]


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, scale: float | Tensor, smoothing: float) -> Tensor:
        log_sums, loss = rows.new_empty([2, len(rows)], dtype=torch.float32)
        others = len(rows) // 2 - 1
        ctx.shares = 1 - smoothing, smoothing / others
        _launch("rows_kernel", FORWARD, rows, (rows, scale, log_sums, loss), ctx.shares)
        is_learned = isinstance(scale, Tensor)
        ctx.scale = None if is_learned else scale
        ctx.save_for_backward(rows, log_sums, scale if is_learned else None)
        return loss.mean()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        rows, log_sums, learned = ctx.saved_tensors
        scale = ctx.scale if learned is None else learned
        gradient = torch.empty_like(rows)
        _, parts = parts_of(rows.shape[1])
        by_scale = log_sums.new_empty([parts, len(rows)])
        arguments = rows, scale, log_sums, gradients[0], gradient, by_scale
        _launch("gradient_kernel", BACKWARD, rows, arguments, ctx.shares)
        of_scale = None
        if learned is not None and ctx.needs_input_grad[1]:
            of_scale = by_scale.sum().reshape(learned.shape)
        return gradient, of_scale, None


FORWARD = Tiles(16, 64, splits=1), Tiles(64, 64, splits=1)
BACKWARD = Tiles(16, 32, splits=1), Tiles(32, 32, splits=1)
"""Small blocks, and those of many narrow rows; NO GPU HAS MEASURED THEM YET."""


def _launch(
    name: str,
    choices: tuple[Tiles, Tiles],
    rows: Tensor,
    arguments: tuple[Any, ...],
    shares: tuple[float, float],
) -> None:
    """Start a kernel, one program for each block of rows [2N, D], and for each part of a gradient's columns."""
    count, width = rows.shape
    held, parts = parts_of(width)
    many = count > 2048 and width <= 128
    tiles = filled(choices[many], rows, rows, item_size=WIDE, parts=parts)
    kernel = getattr(kernels("losses.fused.kernels.clip_pairs"), name)
    with torch.cuda.device_of(rows):
        kernel[(blocks(count, tiles.rows), parts if choices is BACKWARD else 1)](
            *(*arguments, count // 2, *shares),
            D=width,
            WIDTH=held,
            ROWS=tiles.rows,
            COLUMNS=tiles.columns,
            LEARNED=isinstance(arguments[1], Tensor),
            PRECISION=float32_products(),
            num_warps=4 if width <= 128 else 8,
            num_stages=tiles.stages,
        )
