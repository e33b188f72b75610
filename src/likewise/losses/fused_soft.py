"""Contrast with soft targets on a GPU, in two launches forward and one backward for each side that learns.

With s_ia = q_i . k_a / temperature and targets t_ia, whose sum over the keys is w_i::

    L_i  = log sum_a e^{s_ia}
    loss = 1/N sum_i ( w_i L_i - sum_a t_ia s_ia )

Its gradient by s_ia is (w_i e^{s_ia - L_i} - t_ia) / N; those of q_i and k_a are its sums with the other side's rows
over the temperature, and that of the temperature is the sum of -q_i . gradient_i / temperature. Scores are made again
in the backward; nothing of N x M is stored but the targets. `distillation.soft_nce` has the same from PyTorch's
operations, for every device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.losses import gpu_sizes, tiles_triton
from likewise.losses.similarity_sums import refuse_second_derivatives
from likewise.losses.triton_launch import (
    MOST_COLUMNS,
    PROGRAMS,
    Tiles,
    blocks,
    filled,
    float32_products,
    kernels,
    parts_of,
)

WIDE = 4
"""Bytes of a float32, as which every row is held."""

BLOCK = 1024
"""Rows that the mean takes in at a time."""


def serves(queries: Tensor, keys: Tensor, targets: Tensor, temperature: float | Tensor) -> bool:
    """Whether these kernels can make the loss of rows [N, D] and [M, D] with targets [N, M]."""
    matrices = queries, keys, targets
    if not all(isinstance(matrix, Tensor) and matrix.dim() == 2 for matrix in matrices):
        return False
    fits = keys.shape[1] == queries.shape[1] and targets.shape == (len(queries), len(keys))
    if not fits or not 1 <= queries.shape[1] <= MOST_COLUMNS:
        return False
    if isinstance(temperature, Tensor):
        learned = (temperature,)
        is_number = temperature.numel() == 1
    else:
        learned = ()
        is_number = temperature > 0
    fits = is_number and 1 <= targets.numel() <= gpu_sizes.SOFT_TARGETS
    return fits and tiles_triton.readable(*matrices, *learned)


def soft_loss(
    queries: Tensor, keys: Tensor, targets: Tensor, temperature: float | Tensor
) -> Tensor:
    """`distillation.soft_nce`, float32; gradients of all but ``targets``."""
    return _Soft.apply(queries, keys, targets, temperature)  # type: ignore[no-any-return]


class _Soft(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, targets: Tensor, temperature: float | Tensor
    ) -> Tensor:
        queries, keys = queries.contiguous(), keys.contiguous()
        rows = len(queries)
        held, _ = parts_of(queries.shape[1])
        tiles = filled(FORWARD, queries[:, :held], keys, PROGRAMS, WIDE)
        splits = tiles.splits or 1
        parts = queries.new_empty([3, splits, rows], dtype=torch.float32)
        sums = parts.new_empty([2, rows])  # the log-sums, and the sums of the targets
        mean = parts.new_empty([])
        given = queries, keys, targets, temperature
        numbers = rows, len(keys), *targets.stride()
        made = kernels("triton_soft_kernels")
        with torch.cuda.device_of(queries):
            made.rows_kernel[(blocks(rows, tiles.rows), splits)](
                *(*given, parts, *numbers), **_flags(given, tiles)
            )
            made.mean_kernel[(1,)](*(parts, *sums, mean, rows, splits), BLOCK=BLOCK)
        ctx.learns = isinstance(temperature, Tensor)
        ctx.temperature = None if ctx.learns else temperature
        ctx.save_for_backward(
            queries, keys, targets.detach(), sums, temperature if ctx.learns else None
        )
        return mean

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        queries, keys, targets, sums, learned = ctx.saved_tensors
        temperature = ctx.temperature if learned is None else learned
        wants_queries, wants_keys, _, wants_temperature = ctx.needs_input_grad
        of_queries = of_keys = of_temperature = None
        if wants_queries or wants_temperature:
            given = queries, keys, targets, temperature
            of_queries, by_temperature = _gradient(given, sums, gradients[0], as_query=True)
            if wants_temperature and learned is not None:
                of_temperature = by_temperature.sum().reshape(learned.shape)
        if wants_keys:
            given = keys, queries, targets.T, temperature
            of_keys, _ = _gradient(given, sums, gradients[0], as_query=False)
        return of_queries, of_keys, None, of_temperature


def _gradient(
    given: tuple[Any, ...], sums: Tensor, upstream: Tensor, as_query: bool
) -> tuple[Tensor, Tensor]:
    """The gradient of the first of ``given``, and what its rows add to that of the temperature."""
    outer, inner, targets, _ = given
    rows, width = outer.shape
    _, parts = parts_of(width)
    tiles = filled(BACKWARD, outer, inner, PROGRAMS, WIDE, parts)
    splits = tiles.splits or 1
    gradient = outer.new_empty(
        [splits, rows, width], dtype=outer.dtype if splits == 1 else torch.float32
    )
    by_temperature = sums.new_empty([splits, parts, rows])
    numbers = rows, len(inner), *targets.stride()
    gradient_kernel = kernels("triton_soft_kernels").gradient_kernel
    with torch.cuda.device_of(outer):
        gradient_kernel[(blocks(rows, tiles.rows), splits, parts)](
            *(*given, *sums, upstream, gradient, by_temperature, *numbers),
            **_flags(given, tiles),
            AS_QUERY=as_query,
        )
    if splits == 1:
        return gradient[0], by_temperature
    return gradient.sum(dim=0).to(outer.dtype), by_temperature


def _flags(given: tuple[Any, ...], tiles: Tiles) -> dict[str, Any]:
    """The constants of a kernel that meets rows with rows."""
    outer, *_, temperature = given
    width = outer.shape[1]
    return {
        "D": width,
        "WIDTH": parts_of(width)[0],
        "ROWS": tiles.rows,
        "COLUMNS": tiles.columns,
        "LEARNED": isinstance(temperature, Tensor),
        "PRECISION": float32_products(),
        "num_warps": 4 if width <= 128 else 8,
        "num_stages": tiles.stages,
    }


FORWARD, BACKWARD = Tiles(16, 64), Tiles(16, 32)
"""How the passes over scores are cut; NO GPU HAS MEASURED THEM YET."""
