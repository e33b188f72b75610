"""Losses within one batch of rows on a GPU, in three launches forward and two backward: SimCLR's, SupCon's, SuNCEt's.

For rows u_i, made z_i of length 1 / sqrt(temperature), with s_ij = z_i . z_j, A(i) all rows but i and P(i)
its positives::

    pairs  log sum_{A(i)} e^s - s_{i, partner of i}            rows i and i + N/2 are each other's partner
    out    log sum_{A(i)} e^s - 1/|P(i)| sum_{P(i)} s
    in     log sum_{A(i)} e^s - log( 1/|P(i)| sum_{P(i)} e^s )
    nca    log sum_{A(i)} e^s - log sum_{P(i)} e^s

and the mean over rows that have a positive. The gradient by s_ij of row i's loss is its softmax less that over the
positives, so the gradient of z_i takes one more pass over the scores; that of u_i follows. Where there are fewer
blocks of rows than a GPU's processors, several programs share the columns of a block. The second pass makes the scores
again, and nothing of N x N is stored. Up to the sizes in `gpu_sizes` both passes read them instead, and PyTorch
multiplies the matrices.
`contrastive` has the same losses from PyTorch's operations, for every device.
"""

from __future__ import annotations

from typing import Any, Literal, ParamSpec, TypeVar

import torch
from torch import Tensor

from likewise.collectives import RowShard, shard_of, world_size
from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused import gpu_sizes, row_passes, unit_rows
from likewise.losses.fused.devices import LOG2E, readable
from likewise.losses.fused.products import float32_products
from likewise.losses.fused.tiling import (
    MOST_COLUMNS,
    height,
    padded,
)
from likewise.losses.input_checks import UNKNOWN
from likewise.losses.second_derivatives import refuse_second_derivatives

P = ParamSpec("P")
ResultT = TypeVar("ResultT")

Form = Literal["pairs", "out", "in", "nca"]

BLOCK = 1024
"""Rows that the mean takes in at a time."""


def serves(rows: Tensor, count: int, temperature: float | Tensor) -> bool:
    """Whether these kernels can make the loss of so many rows like these [..., D]; `devices` says on what GPU."""
    if not isinstance(rows, Tensor) or isinstance(temperature, Tensor) or not temperature > 0:
        return False
    fits = 3 <= count <= gpu_sizes.BATCH_ROWS and 1 <= rows.shape[-1] <= MOST_COLUMNS
    return fits and readable(rows)


def nt_xent(
    first: Tensor, second: Tensor, temperature: float | Tensor = 0.5, detach_keys: bool = False
) -> Tensor | None:
    """With the gradients of both."""
    if detach_keys or not serves(first, 2 * len(first), temperature):
        return None
    if first.dim() != 2 or first.shape != second.shape or first.dtype != second.dtype:
        return None
    return loss_within_batch(torch.cat([first, second]), None, float(temperature), "pairs")


def sup_con(
    z: Tensor,
    labels: Tensor,
    temperature: float | Tensor = 0.1,
    kind: Literal["out", "in"] = "out",
    reduction: Literal["valid", "all"] = "valid",
) -> Tensor | None:
    """With the gradient of ``z``."""
    if kind not in ("out", "in") or not _are_labels(labels, z) or z.dim() not in (2, 3):
        return None
    if not serves(z, z.shape[:-1].numel(), temperature):
        return None
    return loss_within_batch(z, labels, float(temperature), kind, reduction == "all")


def suncet(z: Tensor, labels: Tensor, temperature: float | Tensor = 0.1) -> Tensor | None:
    """With the gradient of ``z``."""
    if not _are_labels(labels, z) or z.dim() != 2 or not serves(z, len(z), temperature):
        return None
    return loss_within_batch(z, labels, float(temperature), "nca")


def _are_labels(labels: Tensor, z: Tensor) -> bool:
    """Whether there is one for each of the first dimension of ``z``, in the format that kernels read."""
    is_read = isinstance(labels, Tensor) and labels.dtype == torch.int64
    return is_read and labels.shape == z.shape[:1]


def loss_within_batch(
    rows: Tensor, labels: Tensor | None, temperature: float, form: Form, by_all: bool = False
) -> Tensor:
    """The mean loss, float32; NaN where no row could learn.

    Args:
        rows: [N, D], of any length; or [B, V, D], V views of B images.
        labels: int64 [N] or [B], equal for positives; -1 equals nothing, but views of one image are positives then too.
            None for "pairs".
        temperature: divides the cosines.
        form: as above.
        by_all: divide by N instead of the rows that have a positive.
    """
    views = 1
    if rows.dim() == 3:
        views = rows.shape[1]
        rows = rows.flatten(0, 1)
    shard = shard_of(len(rows))
    if shard is not None:
        rows = rows.roll(-shard.start, 0)
        labels = _own_first(labels, views, shard)
        views = 1
    return _WithinBatch.apply(rows, labels, views, temperature, form, by_all, shard)  # type: ignore[no-any-return]


def _own_first(labels: Tensor | None, views: int, shard: RowShard) -> Tensor | None:
    """The id of each row, beginning with this rank's; as `_ids` of the kernels has them."""
    if labels is None:
        return None
    if views > 1:
        image = torch.arange(len(labels), device=labels.device)
        labels = torch.where(labels == UNKNOWN, -2 - image, labels).repeat_interleave(views)
    return labels.roll(-shard.start)


def _of_all_ranks(parts: Tensor, shard: RowShard) -> Tensor:
    """What each rank has summed for its rows, [4, splits, N] with its own first, to that of all rows in this order."""
    own = parts[:, :, : shard.count].permute(2, 0, 1)  # [n, 4, splits]
    joined = shard.join(own).roll(-shard.start, 0)  # [N, 4, splits]
    return joined.permute(1, 2, 0).contiguous()


class _WithinBatch(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        labels: Tensor | None,
        views: int,
        temperature: float,
        form: Form,
        by_all: bool,
        shard: RowShard | None,
    ) -> Tensor:
        rows = rows.contiguous()
        count, width = rows.shape
        own, most = (count, count) if shard is None else (shard.count, shard.most)
        unit, factor = unit_rows.forward(rows, temperature**-0.5)
        # [N] each: the log-sums over all and over the positives, and how many these are.
        sums = unit.new_empty(3, count)
        mean = unit.new_empty(2)  # the loss, and the weight of a row in it
        labels = mean if labels is None else labels.contiguous()  # "pairs" reads none
        kind = {"D": width, "FORM": form, "VIEWS": views, "PRECISION": float32_products()}
        with torch.cuda.device_of(rows):
            kept = row_passes.scores_of(unit, own)
            parts = row_passes.sums_of_rows(
                unit, kept, labels, own, most, LOG2E / temperature, kind
            )
            if shard is not None:
                parts = _of_all_ranks(parts, shard)
            mean_kernel = kernels("losses.fused.kernels.within_batch").mean_kernel
            mean_kernel[(1,)](
                *(parts, *sums, mean, count, parts.shape[1]),
                FORM=form,
                BLOCK=BLOCK,
                BY_ALL=by_all,
            )
        ctx.save_for_backward(rows, unit, factor, kept, labels, sums, mean)
        ctx.kind, ctx.squared_length = kind, 1 / temperature
        ctx.own, ctx.ranks = own, world_size()
        return mean[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        rows, unit, factor, kept, labels, sums, mean = ctx.saved_tensors
        count, own = len(rows), ctx.own
        gradient = torch.empty_like(rows)
        width = rows.shape[1]
        flags = {"D": width, "WIDTH": padded(width), "FORM": ctx.kind["FORM"]}
        at_once = height(width, 4)
        with torch.cuda.device_of(rows):
            parts = row_passes.slopes_of_rows(unit, kept, labels, sums, own, ctx.kind)
            given = parts, unit, factor, mean, gradients[0]
            gradient_kernel = kernels("losses.fused.kernels.within_batch").gradient_kernel
            gradient_kernel[(blocks(own, at_once),)](
                *(*given, gradient, count, len(parts), ctx.squared_length), **flags, ROWS=at_once
            )
        if own < count:  # all of the gradient of this rank's rows, and none of the others'
            gradient[own:] = 0
            gradient[:own] *= ctx.ranks
        return gradient, None, None, None, None, None, None
