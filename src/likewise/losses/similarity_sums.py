"""The costly part of every contrastive loss, log sum_a e^{q_i . k_a} with its gradient, by whichever path is fastest.

Batches whose similarities fit a core's cache keep them for the backward (`tiles_cached`); larger ones are made tile by
tile and made again, by PyTorch's products (`tiles_torch`) or by kernels on a GPU that has them (`tiles_triton`). The
caller never chooses, and the numbers agree to rounding. Divide by the temperature first: `queries / temperature`, or,
for rows among themselves, `z / temperature ** 0.5`.

How float32 is multiplied is PyTorch's setting: under `torch.set_float32_matmul_precision("medium")` as bfloat16 where
the hardware has units for it, ten times as fast and good to three digits of the gradient.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.errors import LikewiseError
from likewise.losses import tiles_cached, tiles_torch, tiles_triton
from likewise.losses.tiles_torch import Pairs, Sums, bounded


class NotTwiceDifferentiable(LikewiseError, RuntimeError):
    """Second derivatives were asked for."""


class LogSums(NamedTuple):
    """For each query the log of its summed exponentials."""

    all_logsumexp: Tensor
    """[N] over all keys that it is compared with; -inf if there are none"""
    positives_logsumexp: Tensor | None
    """[N] over those of its own id; -inf if there are none; None if no ids were given"""


def self_logsumexp(z: Tensor, ids: Tensor | None = None) -> LogSums:
    """Each row against all others.

    Args:
        z: [N, D]; scores are z_i . z_j.
        ids: int64 [N]; with them the sum over the rows of equal id comes too. Every id counts, -1 as well.
    """
    if tiles_triton.supports(z, z) or bounded(z, z):
        return LogSums(*_SelfLogSumExp.apply(z, ids))
    return cross_logsumexp(z, z, torch.arange(len(z), device=z.device), ids, ids)


def cross_logsumexp(
    queries: Tensor,
    keys: Tensor,
    self_index: Tensor | None = None,
    query_id: Tensor | None = None,
    key_id: Tensor | None = None,
) -> LogSums:
    """Each query against all keys but its own.

    Args:
        queries: [N, D]; scores are q_i . k_a.
        keys: [M, D].
        self_index: int64 [N], the key left out for each query; -1 for none.
        query_id: int64 [N]; with both ids the sum over the keys of equal id comes too. Every id counts, -1 as well.
        key_id: int64 [M].
    """
    if query_id is None and not keys.requires_grad:
        return LogSums(_AgainstFixed.apply(queries, keys, self_index)[0], None)
    return LogSums(*_CrossLogSumExp.apply(queries, keys, self_index, query_id, key_id))


def mean_key(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sum-exp [N] of queries [N, D] over fixed keys [M, D], and the mean key [N, D] under each query's softmax.

    No gradient flows to the keys, and none through the mean.
    """
    return _AgainstFixed.apply(queries, keys.detach(), None)  # type: ignore[no-any-return]


class _SelfLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, ids: Tensor | None) -> tuple[Tensor, Tensor | None]:
        ctx.on_gpu = tiles_triton.supports(z, z)
        small = len(z) ** 2 <= tiles_cached.MOST_PAIRS
        sort = ids is not None and (ctx.on_gpu or not small)  # equal ids next to each other: few tiles then mix ids
        ctx.order = ids.argsort(stable=True) if sort and ids is not None else None
        z, ids = _arranged(z, ctx.order), _arranged(ids, ctx.order)
        if ctx.on_gpu:
            z = _as_multiplied(z)
            sums = Sums(*tiles_triton.forward(z, z, _itself(z), ids, ids))
        else:
            sums = (tiles_cached if small else tiles_torch).forward_square(z, ids)
        ctx.save_for_backward(z, ids, *sums)
        return _restored(sums.all_logsumexp, ctx.order), _restored(sums.positives_logsumexp, ctx.order)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        _refuse_second_derivatives()
        z, ids, *saved = ctx.saved_tensors
        sums, grads = Sums(*saved), [_arranged(gradient, ctx.order) for gradient in gradients]
        if ctx.on_gpu:
            gradient = tiles_triton.backward_square(
                z, _itself(z), ids, sums.all_logsumexp, sums.positives_logsumexp, *grads
            )
        elif sums.kept is not None:
            gradient = tiles_cached.backward_square(z, sums, *grads)
        else:
            gradient = tiles_torch.backward_square(z, ids, sums, *grads)
        return _restored(gradient, ctx.order), None


class _CrossLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        self_index: Tensor | None,
        query_id: Tensor | None,
        key_id: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.on_gpu = tiles_triton.supports(queries, keys)
        ctx.orders = rows, columns = (
            (None, None) if query_id is None or key_id is None else (query_id.argsort(), key_id.argsort())
        )
        queries, keys = _arranged(queries, rows), _arranged(keys, columns)
        pairs = Pairs(_renumbered(self_index, rows, columns), _arranged(query_id, rows), _arranged(key_id, columns))
        if ctx.on_gpu:
            queries, keys = _as_multiplied(queries), _as_multiplied(keys)
            sums = Sums(*tiles_triton.forward(queries, keys, *pairs))
        else:
            sums = _tiles_for(queries, keys).forward(queries, keys, pairs)
        ctx.save_for_backward(queries, keys, *pairs, *sums)
        return _restored(sums.all_logsumexp, rows), _restored(sums.positives_logsumexp, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        _refuse_second_derivatives()
        queries, keys, self_index, query_id, key_id, *saved = ctx.saved_tensors
        rows, columns = ctx.orders
        pairs, sums = Pairs(self_index, query_id, key_id), Sums(*saved)
        grad_all, grad_positives = (_arranged(gradient, rows) for gradient in gradients)
        if ctx.on_gpu:
            wants = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
            log_sums = sums.all_logsumexp, sums.positives_logsumexp
            found = tiles_triton.backward(queries, keys, *pairs, *log_sums, grad_all, grad_positives, wants)
        elif sums.kept is not None:
            found = tiles_cached.backward(queries, keys, sums, grad_all, grad_positives)
        else:
            found = tiles_torch.backward(queries, keys, pairs, sums, grad_all, grad_positives)
        return _restored(found[0], rows), _restored(found[1], columns), None, None, None


class _AgainstFixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, self_index: Tensor | None) -> tuple[Tensor, Tensor]:
        all_logsumexp, mean = _fixed(queries, keys, self_index)
        ctx.save_for_backward(mean)
        ctx.mark_non_differentiable(mean)
        return all_logsumexp, mean

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        _refuse_second_derivatives()
        (mean,) = ctx.saved_tensors
        return mean * gradients[0][:, None], None, None


def _fixed(queries: Tensor, keys: Tensor, self_index: Tensor | None) -> tuple[Tensor, Tensor]:
    """Log-sums over keys that take no gradient, and the mean key, which is their derivative by the query."""
    if not tiles_triton.supports(queries, keys):
        return _tiles_for(queries, keys).forward_fixed(queries, keys, self_index)
    queries, keys = _as_multiplied(queries), _as_multiplied(keys)
    all_logsumexp, _ = tiles_triton.forward(queries, keys, self_index, None, None)
    ones = torch.ones_like(all_logsumexp)
    mean, _ = tiles_triton.backward(
        queries, keys, self_index, None, None, all_logsumexp, None, ones, None, (True, False)
    )
    assert mean is not None
    return all_logsumexp, mean


def _tiles_for(queries: Tensor, keys: Tensor) -> ModuleType:
    small = len(queries) * len(keys) <= tiles_cached.MOST_PAIRS
    return tiles_cached if small and bounded(queries, keys) else tiles_torch


def _as_multiplied(rows: Tensor) -> Tensor:
    """In the format that PyTorch's setting lets a GPU multiply float32 in; shorter than TensorFloat-32 is bfloat16."""
    return rows.bfloat16() if torch.get_float32_matmul_precision() == "medium" and rows.is_cuda else rows


def _itself(z: Tensor) -> Tensor:
    return torch.arange(len(z), device=z.device)


def _refuse_second_derivatives() -> None:
    if torch.is_grad_enabled():  # as it is in a backward only under create_graph
        raise NotTwiceDifferentiable(
            "Second derivatives of a contrastive loss were asked for (create_graph=True); the fast losses have none. "
            "Call the same loss from likewise.losses.dense, which PyTorch can differentiate as often as you like."
        )


def _arranged(values: Any, order: Tensor | None) -> Any:
    """Rows in an order; nothing where there is nothing."""
    return values if order is None or values is None else values[order]


def _restored(values: Any, order: Tensor | None) -> Any:
    """Undoes `_arranged`."""
    return values if order is None or values is None else torch.empty_like(values).index_copy_(0, order, values)


def _renumbered(self_index: Tensor | None, rows: Tensor | None, columns: Tensor | None) -> Tensor | None:
    """Each query's own key by its new index."""
    if self_index is None or rows is None or columns is None:
        return self_index
    new_index = torch.empty_like(columns).index_copy_(0, columns, torch.arange(len(columns), device=columns.device))
    old_index = self_index[rows]
    return torch.where(old_index < 0, old_index, new_index[old_index.clamp_min(0)])
