"""The costly part of every contrastive loss, log sum_a e^{q_i . k_a} with its gradient, by whichever path is fastest.

On a CPU batches whose similarities fit a core's cache keep them for the backward (`cached_tile`); larger ones are made
tile by tile and made again (`cpu_tiles`). On a GPU small batches keep them too (`one_matrix`), and larger ones are
made again, by kernels (`gpu_tiles`), or where rows are too wide for these by PyTorch (`row_blocks`); the host never
waits for the device. The caller never chooses, and the numbers agree to rounding. Divide by the temperature first:
`queries / temperature`, or, for rows compared with each other, `z / temperature ** 0.5`.

Under `collectives.sharded_rows` each rank makes the sums of its share of the queries over all keys, and the sums, one
number a query, are gathered. Rows that are compared with each other then get the whole of their gradient from the rank
that has them: it needs every row's sum and its own scores. Keys get a part of theirs from each rank.

How float32 is multiplied is PyTorch's setting: under `torch.set_float32_matmul_precision("medium")` as bfloat16 where
the hardware has units for it, ten times as fast and good to three digits of the gradient.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.collectives import RowShard, shard_of, world_size
from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.products import as_multiplied
from likewise.losses.log_sums import cached_tile, cpu_tiles, gpu_tiles, one_matrix, row_blocks
from likewise.losses.log_sums.cpu_tiles import Pairs, Sums, bounded
from likewise.losses.second_derivatives import refuse_second_derivatives
from likewise.losses.waiting import may_wait, transformed


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
    if not transformed() and (not _on_cpu(z, z) or bounded(z, z)):
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
    if transformed():
        return _by_matrix(queries, keys, self_index, query_id, key_id)
    shard = shard_of(len(queries))
    if shard is None:
        return _cross_logsumexp(queries, keys, self_index, query_id, key_id)
    own_key = _arranged(self_index, shard.own)
    own_id = _arranged(query_id, shard.own)
    found = _cross_logsumexp(queries[shard.own], keys, own_key, own_id, key_id)
    positives = found.positives_logsumexp
    return LogSums(
        shard.join(found.all_logsumexp), None if positives is None else shard.join(positives)
    )


def both_logsumexp(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor] | None:
    """Log-sums [N] of queries over keys [M, D], and [M] of keys over queries, from the same scores.

    None where two calls of `cross_logsumexp` are to be made instead.
    """
    if transformed() or shard_of(len(queries)) is not None:
        return None
    path = _path(queries, keys)
    is_wide = queries.is_cuda and queries.shape[1] > gpu_sizes.BOTH_WAYS_COLUMNS
    if path is not row_blocks and not (path is gpu_tiles and is_wide):
        return None
    return _BothLogSumExp.apply(queries, keys)  # type: ignore[no-any-return]


def _cross_logsumexp(
    queries: Tensor,
    keys: Tensor,
    self_index: Tensor | None,
    query_id: Tensor | None,
    key_id: Tensor | None,
) -> LogSums:
    if query_id is None and not keys.requires_grad:
        return LogSums(_AgainstFixed.apply(queries, keys, self_index)[0], None)
    return LogSums(*_CrossLogSumExp.apply(queries, keys, self_index, query_id, key_id))


def mean_key(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sum-exp [N] of queries [N, D] over fixed keys [M, D], and the mean key [N, D] under each query's softmax.

    No gradient flows to the keys, and none through the mean. Rows are not divided among ranks here: the means would be
    D numbers a row to gather; a loss that takes them divides its own (`row_means`).
    """
    if transformed():
        scores = queries @ keys.detach().T
        return scores.logsumexp(dim=1), (scores.softmax(dim=1) @ keys).detach()
    return _AgainstFixed.apply(queries, keys.detach(), None)  # type: ignore[no-any-return]


def _by_matrix(
    queries: Tensor,
    keys: Tensor,
    self_index: Tensor | None,
    query_id: Tensor | None,
    key_id: Tensor | None,
) -> LogSums:
    """`cross_logsumexp` by operations that `torch.func` can transform."""
    scores = queries @ keys.T  # [N, M]
    if self_index is not None:
        own = torch.arange(len(keys), device=keys.device) == self_index[:, None]
        scores = scores.masked_fill(own, -torch.inf)
    all_logsumexp = scores.logsumexp(dim=1)
    if query_id is None or key_id is None:
        return LogSums(all_logsumexp, None)
    same_id = query_id[:, None] == key_id  # [N, M]
    return LogSums(all_logsumexp, scores.masked_fill(~same_id, -torch.inf).logsumexp(dim=1))


class _SelfLogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, ids: Tensor | None) -> tuple[Tensor, Tensor | None]:
        ctx.shard = shard = shard_of(len(z))
        ctx.ranks = world_size()
        own = z if shard is None else z[: shard.most]
        ctx.path = path = _path(own, z, is_bounded=True)  # the same on every rank
        order = None
        if ids is not None and path in (cpu_tiles, gpu_tiles):
            order = ids.argsort(stable=True)  # equal ids adjacent: few tiles then mix ids
        ctx.order = order = _own_first(order, z, shard)
        z, ids = _arranged(z, order), _arranged(ids, order)
        count = len(z) if shard is None else shard.count
        if path is gpu_tiles:
            z = as_multiplied(z)
            first = None if shard is None else slice(count)
            queries, query_ids = _arranged(z, first), _arranged(ids, first)
            sums = Sums(*gpu_tiles.forward(queries, z, gpu_tiles.ITSELF, query_ids, ids))
        else:
            z = as_multiplied(z) if path is row_blocks else z
            sums = path.forward_square(z, ids, count)
        if shard is not None:
            sums = _of_all_ranks(sums, shard)
        ctx.save_for_backward(z, ids, *sums)
        return _restored(sums.all_logsumexp, order), _restored(sums.positives_logsumexp, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        refuse_second_derivatives()
        z, ids, *saved = ctx.saved_tensors
        sums = Sums(*saved)
        grad_all, grad_positives = (_arranged(gradient, ctx.order) for gradient in gradients)
        count = len(z) if ctx.shard is None else ctx.shard.count
        if ctx.path is gpu_tiles:
            of_sums = sums.all_logsumexp, sums.positives_logsumexp, grad_all, grad_positives
            first = None if ctx.shard is None else count
            gradient = gpu_tiles.backward_square(z, gpu_tiles.ITSELF, ids, *of_sums, count=first)
        elif ctx.path in (cpu_tiles, row_blocks):
            gradient = ctx.path.backward_square(z, ids, sums, grad_all, grad_positives, count)
        else:
            gradient = ctx.path.backward_square(z, sums, grad_all, grad_positives, count)
        if ctx.shard is None:
            return _restored(gradient, ctx.order), None
        of_others = gradient.new_zeros(z.shape)  # which compute their own
        return of_others.index_copy_(0, ctx.order[:count], gradient * ctx.ranks), None


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
        ctx.path = path = _path(queries, keys)
        has_ids = query_id is not None and key_id is not None
        sort = has_ids and path not in (one_matrix, row_blocks)
        rows = columns = None
        if sort:
            rows, columns = query_id.argsort(), key_id.argsort()  # type: ignore[union-attr]
        ctx.orders = rows, columns
        queries, keys = _arranged(queries, rows), _arranged(keys, columns)
        pairs = Pairs(
            _renumbered(self_index, rows, columns),
            _arranged(query_id, rows),
            _arranged(key_id, columns),
        )
        if path in (gpu_tiles, row_blocks):
            queries, keys = as_multiplied(queries), as_multiplied(keys)
        if path is gpu_tiles:
            sums = Sums(*gpu_tiles.forward(queries, keys, *pairs))
        else:
            sums = path.forward(queries, keys, pairs)
        ctx.save_for_backward(queries, keys, *pairs, *sums)
        return _restored(sums.all_logsumexp, rows), _restored(sums.positives_logsumexp, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        refuse_second_derivatives()
        queries, keys, self_index, query_id, key_id, *saved = ctx.saved_tensors
        rows, columns = ctx.orders
        pairs, sums = Pairs(self_index, query_id, key_id), Sums(*saved)
        grad_all, grad_positives = (_arranged(gradient, rows) for gradient in gradients)
        if ctx.path is gpu_tiles:
            wants = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
            log_sums = sums.all_logsumexp, sums.positives_logsumexp
            found = gpu_tiles.backward(
                queries, keys, *pairs, *log_sums, grad_all, grad_positives, wants
            )
        elif ctx.path in (cpu_tiles, row_blocks):
            found = ctx.path.backward(queries, keys, pairs, sums, grad_all, grad_positives)
        else:
            found = ctx.path.backward(queries, keys, sums, grad_all, grad_positives)
        return _restored(found[0], rows), _restored(found[1], columns), None, None, None


class _BothLogSumExp(torch.autograd.Function):
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
    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, self_index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        all_logsumexp, mean = _fixed(queries, keys, self_index)
        ctx.save_for_backward(mean)
        ctx.mark_non_differentiable(mean)
        return all_logsumexp, mean

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        refuse_second_derivatives()
        (mean,) = ctx.saved_tensors
        return mean * gradients[0][:, None], None, None


def _fixed(queries: Tensor, keys: Tensor, self_index: Tensor | None) -> tuple[Tensor, Tensor]:
    """Log-sums over keys that take no gradient, and the mean key, which is their derivative by the query."""
    path = _path(queries, keys)
    if path in (gpu_tiles, row_blocks):
        queries, keys = as_multiplied(queries), as_multiplied(keys)
    if path is not gpu_tiles:
        return path.forward_fixed(queries, keys, self_index)
    all_logsumexp, _ = gpu_tiles.forward(queries, keys, self_index, None, None)
    ones = torch.ones_like(all_logsumexp)
    mean, _ = gpu_tiles.backward(
        queries, keys, self_index, None, None, all_logsumexp, None, ones, None, (True, False)
    )
    assert mean is not None
    return all_logsumexp, mean


def _path(queries: Tensor, keys: Tensor, is_bounded: bool = False) -> ModuleType:
    """Which file makes the sums; ``is_bounded`` says that scores are known to be."""
    pairs = len(queries) * len(keys)
    if _on_cpu(queries, keys):
        small = pairs <= cached_tile.MOST_PAIRS
        return cached_tile if small and (is_bounded or bounded(queries, keys)) else cpu_tiles
    if pairs > one_matrix.MOST_PAIRS or not queries.is_cuda:
        # Whether kernels take a format needs no rows.
        no_rows = as_multiplied(queries[:0]), as_multiplied(keys[:0])
        if gpu_tiles.supports(*no_rows):
            return gpu_tiles
    return one_matrix if pairs <= gpu_sizes.KEPT_PAIRS else row_blocks


def _on_cpu(queries: Tensor, keys: Tensor) -> bool:
    """Whether the forms for CPUs are to be used, which look at values: not for Triton's interpreter."""
    return may_wait(queries) and not gpu_tiles.supports(queries, keys)


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
