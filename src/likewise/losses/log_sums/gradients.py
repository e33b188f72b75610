"""The autograd functions of log-sums: rows in the order that a form is fastest in, its sums, and its gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.collectives import RowShard, shard_of, world_size
from likewise.losses.fused.products import as_multiplied
from likewise.losses.log_sums import choice, cpu_tiles, kernel_tiles, one_matrix, row_blocks
from likewise.losses.log_sums.sums import Pairs, SumGradients, Sums
from likewise.losses.second_derivatives import refuse_second_derivatives

MULTIPLIED = (kernel_tiles, row_blocks)
"""Forms that take rows in the format that they are to be multiplied in."""


class _SelfLogSumExp(torch.autograd.Function):
    """Each row against all others; of z, ids."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, ids: Tensor | None) -> tuple[Tensor, Tensor | None]:
        ctx.shard = shard = shard_of(len(z))
        ctx.ranks = world_size()
        own = z if shard is None else z[: shard.most]
        ctx.form = form = choice.form_of(own, z, is_bounded=True)  # the same on every rank
        order = None
        if ids is not None and form in (cpu_tiles, kernel_tiles):
            order = ids.argsort(stable=True)  # equal ids adjacent: few tiles then mix ids
        ctx.order = order = _own_first(order, z, shard)
        z, ids = _arranged(z, order), _arranged(ids, order)
        count = len(z) if shard is None else shard.count
        if form in MULTIPLIED:
            z = as_multiplied(z)
        sums = form.forward_square(z, ids, count)
        if shard is not None:
            sums = _of_all_ranks(sums, shard)
        ctx.save_for_backward(z, ids, *sums)
        return _restored(sums.all_logsumexp, order), _restored(sums.positives_logsumexp, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        refuse_second_derivatives()
        z, ids, *saved = ctx.saved_tensors
        sums = Sums(*saved)
        grads = SumGradients(*(_arranged(gradient, ctx.order) for gradient in gradients))
        count = len(z) if ctx.shard is None else ctx.shard.count
        gradient = ctx.form.backward_square(z, ids, sums, grads, count)
        if ctx.shard is None:
            return _restored(gradient, ctx.order), None
        of_others = gradient.new_zeros(z.shape)  # which compute their own
        return of_others.index_copy_(0, ctx.order[:count], gradient * ctx.ranks), None


class _CrossLogSumExp(torch.autograd.Function):
    """Queries against keys that learn too; of queries, keys, self_index, query_id, key_id."""

    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        self_index: Tensor | None,
        query_id: Tensor | None,
        key_id: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.form = form = choice.form_of(queries, keys)
        rows = columns = None
        if query_id is not None and key_id is not None and form not in (one_matrix, row_blocks):
            rows, columns = query_id.argsort(), key_id.argsort()
        ctx.orders = rows, columns
        queries, keys = _arranged(queries, rows), _arranged(keys, columns)
        pairs = Pairs(
            _renumbered(self_index, rows, columns),
            _arranged(query_id, rows),
            _arranged(key_id, columns),
        )
        if form in MULTIPLIED:
            queries, keys = as_multiplied(queries), as_multiplied(keys)
        sums = form.forward(queries, keys, pairs)
        ctx.save_for_backward(queries, keys, *pairs, *sums)
        return _restored(sums.all_logsumexp, rows), _restored(sums.positives_logsumexp, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        refuse_second_derivatives()
        queries, keys, self_index, query_id, key_id, *saved = ctx.saved_tensors
        rows, columns = ctx.orders
        pairs, sums = Pairs(self_index, query_id, key_id), Sums(*saved)
        grads = SumGradients(*(_arranged(gradient, rows) for gradient in gradients))
        given = queries, keys, pairs, sums, grads
        if ctx.form is kernel_tiles:  # which makes each in a pass of its own
            found = kernel_tiles.backward(*given, ctx.needs_input_grad[:2])
        else:
            found = ctx.form.backward(*given)
        return _restored(found[0], rows), _restored(found[1], columns), None, None, None


class _BothLogSumExp(torch.autograd.Function):
    """Queries against keys, and keys against queries."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        queries, keys = as_multiplied(queries), as_multiplied(keys)
        log_sums = row_blocks.forward_both(queries, keys)
        ctx.save_for_backward(queries, keys, *log_sums)
        return log_sums

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        refuse_second_derivatives()
        queries, keys, *log_sums = ctx.saved_tensors
        return row_blocks.backward_both(queries, keys, tuple(log_sums), gradients)


class _AgainstFixed(torch.autograd.Function):
    """Queries against keys that take no gradient: the log-sums, and the mean key, their derivative by the query."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, self_index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        form = choice.form_of(queries, keys)
        if form in MULTIPLIED:
            queries, keys = as_multiplied(queries), as_multiplied(keys)
        all_logsumexp, mean = form.forward_fixed(queries, keys, self_index)
        ctx.save_for_backward(mean)
        ctx.mark_non_differentiable(mean)
        return all_logsumexp, mean

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        refuse_second_derivatives()
        (mean,) = ctx.saved_tensors
        return mean * gradients[0][:, None], None, None


self_sums = _SelfLogSumExp.apply
cross_sums = _CrossLogSumExp.apply
sums_both_ways = _BothLogSumExp.apply
fixed_sums = _AgainstFixed.apply


def _own_first(order: Tensor | None, z: Tensor, shard: RowShard | None) -> Tensor | None:
    """An order of the rows turned round until it begins with this rank's; as it was where one process has all."""
    if shard is None:
        return order
    order = torch.arange(len(z), device=z.device) if order is None else order
    return order.roll(-shard.start)


def _of_all_ranks(sums: Sums, shard: RowShard) -> Sums:
    """This rank's sums with those of all rows [N], which begin with its own."""
    positives = sums.positives_logsumexp
    return sums._replace(
        all_logsumexp=shard.join(sums.all_logsumexp).roll(-shard.start),
        positives_logsumexp=None if positives is None else shard.join(positives).roll(-shard.start),
    )


def _arranged(values: Any, order: Tensor | slice | None) -> Any:
    """Rows in an order, or some of them; nothing where there is nothing."""
    return values if order is None or values is None else values[order]


def _restored(values: Any, order: Tensor | None) -> Any:
    """Undoes `_arranged`."""
    if order is None or values is None:
        return values
    return torch.empty_like(values).index_copy_(0, order, values)


def _renumbered(
    self_index: Tensor | None, rows: Tensor | None, columns: Tensor | None
) -> Tensor | None:
    """Each query's own key by its new index."""
    if self_index is None or rows is None or columns is None:
        return self_index
    new_index = _restored(torch.arange(len(columns), device=columns.device), columns)
    old_index = self_index[rows]
    return torch.where(old_index < 0, old_index, new_index[old_index.clamp_min(0)])
