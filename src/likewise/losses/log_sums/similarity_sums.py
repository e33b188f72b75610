"""The costly part of every contrastive loss, log sum_a e^{q_i . k_a} with its gradient, by whichever form is fastest.

The caller never chooses; on a GPU the host never waits for the device. Divide by the temperature first:
`queries / temperature`, or, for rows compared with each other, `z / temperature ** 0.5`.

Under `collectives.sharded_rows` each rank makes the sums of its share of the queries over all keys, and the sums, one
number a query, are gathered. Rows that are compared with each other then get the whole of their gradient from the rank
that has them: it needs every row's sum and its own scores. Keys get a part of theirs from each rank.

How float32 is multiplied is PyTorch's setting: under `torch.set_float32_matmul_precision("medium")` as bfloat16 where
the hardware has units for it, ten times as fast and good to three digits of the gradient.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likewise.collectives import shard_of
from likewise.losses.fused import gpu_sizes
from likewise.losses.log_sums import choice, kernel_tiles, row_blocks
from likewise.losses.log_sums.gradients import cross_sums, fixed_sums, self_sums, sums_both_ways
from likewise.losses.log_sums.sums import bounded
from likewise.losses.waiting import transformed


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
    if not transformed() and (not choice.on_cpu(z, z) or bounded(z, z)):
        return LogSums(*self_sums(z, ids))
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
    own_key = None if self_index is None else self_index[shard.own]
    own_id = None if query_id is None else query_id[shard.own]
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
    form = choice.form_of(queries, keys)
    is_wide = queries.is_cuda and queries.shape[1] > gpu_sizes.BOTH_WAYS_COLUMNS
    if form is not row_blocks and not (form is kernel_tiles and is_wide):
        return None
    return sums_both_ways(queries, keys)  # type: ignore[no-any-return]


def _cross_logsumexp(
    queries: Tensor,
    keys: Tensor,
    self_index: Tensor | None,
    query_id: Tensor | None,
    key_id: Tensor | None,
) -> LogSums:
    if query_id is None and not keys.requires_grad:
        return LogSums(fixed_sums(queries, keys, self_index)[0], None)
    return LogSums(*cross_sums(queries, keys, self_index, query_id, key_id))


def mean_key(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sum-exp [N] of queries [N, D] over fixed keys [M, D], and the mean key [N, D] under each query's softmax.

    No gradient flows to the keys, and none through the mean. Rows are not divided among ranks here: the means would be
    D numbers a row to gather; a loss that takes them divides its own (`row_means`).
    """
    if transformed():
        scores = queries @ keys.detach().T
        return scores.logsumexp(dim=1), (scores.softmax(dim=1) @ keys).detach()
    return fixed_sums(queries, keys.detach(), None)  # type: ignore[no-any-return]


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
