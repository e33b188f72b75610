"""The costly part of every contrastive loss, log sum_a e^{q_i . k_a} with its gradient, by whichever path is fastest.

Batches whose similarities fit a core's cache keep them for the backward (`tiles_kept`); larger ones are made tile by
tile and made again (`tiles_torch`). The caller never chooses, and the numbers agree to rounding. Divide by the
temperature first: `queries / temperature`, or, for rows among themselves, `z / temperature ** 0.5`. Products are
those of the number format that comes in; `torch.set_float32_matmul_precision` says whether float32 may be multiplied
as something shorter.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.errors import LikewiseError
from likewise.losses import tiles_kept, tiles_torch
from likewise.losses.tiles_torch import Pairs, Sums, bounded


class NotTwiceDifferentiable(LikewiseError, RuntimeError):
    """Second derivatives were asked for."""


class LogSums(NamedTuple):
    """For each query the log of its summed exponentials."""

    everyone: Tensor
    """[N] over all keys that it is compared with; -inf if there are none"""
    same: Tensor | None
    """[N] over those of its own id; -inf if there are none; None if no ids were given"""


def among(z: Tensor, ids: Tensor | None = None) -> LogSums:
    """Each row against all others.

    Args:
        z: [N, D]; scores are z_i . z_j.
        ids: int64 [N]; with them the sum over the rows of equal id comes too. Every id counts, -1 as well.
    """
    if bounded(z, z):
        return LogSums(*_Among.apply(z, ids))
    return between(z, z, torch.arange(len(z), device=z.device), ids, ids)


def between(
    queries: Tensor,
    keys: Tensor,
    own: Tensor | None = None,
    query_id: Tensor | None = None,
    key_id: Tensor | None = None,
) -> LogSums:
    """Each query against all keys but its own.

    Args:
        queries: [N, D]; scores are q_i . k_a.
        keys: [M, D].
        own: int64 [N], the key left out for each query; -1 for none.
        query_id: int64 [N]; with both ids the sum over the keys of equal id comes too. Every id counts, -1 as well.
        key_id: int64 [M].
    """
    if query_id is None and not keys.requires_grad:
        return LogSums(_AgainstFixed.apply(queries, keys, own)[0], None)
    return LogSums(*_Between.apply(queries, keys, own, query_id, key_id))


def mean_key(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sum-exp [N] of queries [N, D] over fixed keys [M, D], and the mean key [N, D] under each query's softmax.

    No gradient flows to the keys, and none through the mean.
    """
    return _AgainstFixed.apply(queries, keys.detach(), None)  # type: ignore[no-any-return]


class _Among(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, ids: Tensor | None) -> tuple[Tensor, Tensor | None]:
        small = len(z) ** 2 <= tiles_kept.MOST_PAIRS
        ctx.order = None if ids is None or small else ids.argsort(stable=True)  # like beside like: few tiles have any
        z, ids = _arranged(z, ctx.order), _arranged(ids, ctx.order)
        tiles = tiles_kept if small else tiles_torch
        sums = tiles.forward_square(z, ids)
        ctx.save_for_backward(z, ids, *sums)
        return _restored(sums.everyone, ctx.order), _restored(sums.same, ctx.order)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        _refuse_second_derivatives()
        z, ids, *saved = ctx.saved_tensors
        sums, grads = Sums(*saved), [_arranged(gradient, ctx.order) for gradient in gradients]
        if sums.kept is not None:
            gradient = tiles_kept.backward_square(z, sums, *grads)
        else:
            gradient = tiles_torch.backward_square(z, ids, sums, *grads)
        return _restored(gradient, ctx.order), None


class _Between(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, own: Tensor | None, query_id: Tensor | None, key_id: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        ctx.orders = rows, columns = (
            (None, None) if query_id is None or key_id is None else (query_id.argsort(), key_id.argsort())
        )
        queries, keys = _arranged(queries, rows), _arranged(keys, columns)
        pairs = Pairs(_renumbered(own, rows, columns), _arranged(query_id, rows), _arranged(key_id, columns))
        small = len(queries) * len(keys) <= tiles_kept.MOST_PAIRS and bounded(queries, keys)
        sums = (tiles_kept if small else tiles_torch).forward(queries, keys, pairs)
        ctx.save_for_backward(queries, keys, *pairs, *sums)
        return _restored(sums.everyone, rows), _restored(sums.same, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        _refuse_second_derivatives()
        queries, keys, own, query_id, key_id, *saved = ctx.saved_tensors
        rows, columns = ctx.orders
        sums, grads = Sums(*saved), [_arranged(gradient, rows) for gradient in gradients]
        if sums.kept is not None:
            of_queries, of_keys = tiles_kept.backward(queries, keys, sums, *grads)
        else:
            of_queries, of_keys = tiles_torch.backward(queries, keys, Pairs(own, query_id, key_id), sums, *grads)
        return _restored(of_queries, rows), _restored(of_keys, columns), None, None, None


class _AgainstFixed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, own: Tensor | None) -> tuple[Tensor, Tensor]:
        small = len(queries) * len(keys) <= tiles_kept.MOST_PAIRS and bounded(queries, keys)
        everyone, mean = (tiles_kept if small else tiles_torch).forward_fixed(queries, keys, own)
        ctx.save_for_backward(mean)
        ctx.mark_non_differentiable(mean)
        return everyone, mean

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        _refuse_second_derivatives()
        (mean,) = ctx.saved_tensors
        return mean * gradients[0][:, None], None, None


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


def _renumbered(own: Tensor | None, rows: Tensor | None, columns: Tensor | None) -> Tensor | None:
    """Each query's own key by its new place."""
    if own is None or rows is None or columns is None:
        return own
    place = torch.empty_like(columns).index_copy_(0, columns, torch.arange(len(columns), device=columns.device))
    mine = own[rows]
    return torch.where(mine < 0, mine, place[mine.clamp_min(0)])
