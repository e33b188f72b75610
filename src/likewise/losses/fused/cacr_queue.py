"""CACR's terms with a teacher and a queue on a GPU, in three launches forward and one backward.

Unit rows q_vb of V views of B images meet the teacher's rows t_vb and a queue's keys k_a, which take no gradient. Under
a softmax over its scores s each row has an expected score m, so that its expected distance is 2 - 2 m::

    attraction  of q_vb by t_wb of the other views w                  logits -2 a s, a the sharpness
    repulsion   by all k_a, and by q_vj of the other images j         logits  2 r s, r the sharpness
    gradient of m as a query        sum p key + k (sum p s key - m sum p key),    k = -2 a or 2 r
    and of q_vb as what repels j    sum_j p_jb (1 + k (s_jb - m_j)) q_vj

and without what k multiplies where no gradient flows through the weights. Both terms are means over all rows. One pass
over the queue gives log-sum, m and both sums, so no matrix of scores is held. A second pass over the batch alone has
the last line, which needs every row's log-sum. `attraction_repulsion` has the same from PyTorch's operations, for every
device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.collectives import shard_of
from likewise.gpu_kernels import blocks, kernels
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
from likewise.losses.second_derivatives import refuse_second_derivatives

FILE = "losses.fused.kernels.cacr_queue"

LOSS_ROWS = 4
"""Rows at most of a program of the second kernel, which only reads: small, so that many processors read."""


def serves(
    queries: Tensor,
    keys: Tensor,
    queue: Tensor,
    attraction_sharpness: float,
    repulsion_sharpness: float,
) -> bool:
    """Whether these kernels can make the terms of unit rows [V, B, D], the teacher's, and a queue [K, D]."""
    if queries.dtype != torch.float32 or not readable(queries, keys, queue):
        return False
    width = queries.shape[2]
    fits = queries.shape == keys.shape and min(queries.shape[:2]) >= 2
    fits = fits and queue.shape[1:] == (width,) and len(queue) >= 1 and width <= MOST_COLUMNS
    fits = fits and attraction_sharpness >= 0 and repulsion_sharpness >= 0
    return fits and shard_of(queries.shape[1]) is None


def terms(
    queries: Tensor,
    keys: Tensor,
    queue: Tensor,
    attraction_sharpness: float,
    repulsion_sharpness: float,
    through_weights: bool,
) -> tuple[Tensor, Tensor] | None:
    """Attraction and repulsion of unit rows [V, B, D], with their gradients by ``queries``."""
    sharpness = attraction_sharpness, repulsion_sharpness
    if not serves(queries, keys, queue, *sharpness):
        return None
    return _Terms.apply(queries, keys, queue, sharpness, through_weights)  # type: ignore[no-any-return]


class _Terms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        queue: Tensor,
        sharpness: tuple[float, float],
        through_weights: bool,
    ) -> tuple[Tensor, Tensor]:
        views, images, width = queries.shape
        rows = queries.flatten(0, 1).contiguous()
        of_shares = _repulsion(rows, queue.contiguous(), images, sharpness[1], through_weights)
        of_rows, terms = rows.new_empty([2, 2, len(rows)])
        gradients = rows.new_empty([2, *rows.shape])
        at_once = height(width, LOSS_ROWS)
        with torch.cuda.device_of(rows):
            kernels(FILE).rows_kernel[(blocks(len(rows), at_once),)](
                *(rows, keys.flatten(0, 1).contiguous(), *sharpness, *of_shares),
                *(of_rows, terms, gradients, len(rows), images, views, len(of_shares[0])),
                D=width,
                WIDTH=padded(width),
                ROWS=at_once,
                THROUGH=through_weights,
            )
        ctx.save_for_backward(rows, of_rows, gradients)
        ctx.shape, ctx.sharpness, ctx.through = queries.shape, sharpness[1], through_weights
        attraction, repulsion = terms.sum(dim=1)
        return attraction, repulsion

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        refuse_second_derivatives()
        rows, of_rows, gradients = ctx.saved_tensors
        _, images, width = ctx.shape
        held, parts = parts_of(width)
        tiles = filled(_tiles(width), rows, rows[:images], item_size=4, parts=parts)
        found = torch.empty_like(rows)
        with torch.cuda.device_of(rows):
            kernels(FILE).gradient_kernel[_programs(rows, images, tiles), parts](
                *(rows, ctx.sharpness, of_rows, gradients, *slopes, found, len(rows), images),
                **_cut(tiles, width, held),
                THROUGH=ctx.through,
            )
        return found.view(ctx.shape), None, None, None, None


def _repulsion(
    rows: Tensor, queue: Tensor, images: int, sharpness: float, through_weights: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log-sums and expected scores [shares, N] of rows [N, D] over the queue's shares and their own views.

    Then [shares, N, D] the mean keys, and the means of key times score, which are those once more where none is needed.
    """
    width = rows.shape[1]
    held, parts = parts_of(width)
    tiles = filled(_tiles(width), rows, queue, PROGRAMS, item_size=4, parts=parts)
    shares = (tiles.splits or 1) + 1
    log_sums, expected = rows.new_empty([2, shares, len(rows)])
    means = rows.new_empty([1 + through_weights, shares, *rows.shape])
    found = log_sums, expected, means[0], means[-1]
    with torch.cuda.device_of(rows):
        kernels(FILE).repulsion_kernel[_programs(rows, images, tiles), shares, parts](
            *(rows, queue, sharpness, *found, images, len(queue)),
            **_cut(tiles, width, held),
            THROUGH=through_weights,
        )
    return found


def _programs(rows: Tensor, images: int, tiles: Tiles) -> int:
    """One for each block of a view's images."""
    return len(rows) // images * blocks(images, tiles.rows)


def _cut(tiles: Tiles, width: int, held: int) -> dict[str, Any]:
    return {
        "D": width,
        "WIDTH": held,
        "ROWS": tiles.rows,
        "COLUMNS": tiles.columns,
        "PRECISION": float32_products(),
        "num_warps": tiles.warps,
        "num_stages": tiles.stages,
    }


def _tiles(width: int) -> Tiles:
    """How both passes over scores are cut: with two sums of keys in registers; NO GPU HAS MEASURED IT YET."""
    return Tiles(16, 32 if padded(width) <= 128 else 16, 8, 2)
