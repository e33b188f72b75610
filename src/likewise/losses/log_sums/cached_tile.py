"""Log-sum-exp of similarities for batches so small that all exponentials stay in cache until the backward.

The definitions are those of `sums`; here the whole batch is one tile E = e^score, which is cached. At 512 x 128
a step is bound by the number of operations, and this is as few as there can be. Scores must be `sums.bounded`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses.log_sums.sums import Pairs, SumGradients, Sums, above_zero, over_sum
from likewise.losses.log_sums.tile_memory import room

MOST_PAIRS = 2**20
"""Queries times keys up to which keeping (4 MB in float32) was faster than making again."""


def forward(queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
    """The sums of queries [N, D] over keys [M, D]."""
    return _sums(_exponentials(queries, keys, pairs.self_index), pairs.same_id())


def forward_fixed(
    queries: Tensor, keys: Tensor, self_index: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sums over keys that get no gradient, [N], and the mean key under each query's softmax, [N, D]."""
    exponentials = _exponentials(queries, keys, self_index)
    total = exponentials.sum(dim=1)
    mean_key = (exponentials @ keys).div_(above_zero(total)[:, None])  # [N, D]
    return total.log(), mean_key


def backward(
    queries: Tensor, keys: Tensor, pairs: Pairs, sums: Sums, grads: SumGradients
) -> tuple[Tensor, Tensor]:
    """Gradients of queries [N, D] and keys [M, D]."""
    cached = sums.cached
    assert cached is not None
    weight = over_sum(grads.of_all, sums.all_logsumexp)[:, None]  # [N, 1]
    if sums.positives_logsumexp is None or grads.of_positives is None:
        # A weight per query commutes with products.
        return (cached @ keys).mul_(weight), cached.T @ (queries * weight)
    assert sums.cached_positives is not None
    weight_same = over_sum(grads.of_positives, sums.positives_logsumexp)[:, None]  # [N, 1]
    slopes = torch.mul(cached, weight, out=room("slopes", queries, cached.shape))  # [N, M]
    slopes.addcmul_(sums.cached_positives, weight_same)
    return slopes @ keys, slopes.T @ queries


def forward_square(z: Tensor, ids: Tensor | None, count: int) -> Sums:
    """The sums of each of the first ``count`` rows of [N, D] over all others."""
    exponentials = (z[:count] @ z.T).exp_().fill_diagonal_(0)
    return _sums(exponentials, None if ids is None else ids[:count, None] == ids)


def backward_square(
    z: Tensor, ids: Tensor | None, sums: Sums, grads: SumGradients, count: int
) -> Tensor:
    """The gradient [count, D] of rows that are queries and keys at once; sums and their gradients are of all rows."""
    cached = sums.cached
    assert cached is not None
    # A score belongs to both its rows, as query and as key, so their weights are added.
    weight = over_sum(grads.of_all, sums.all_logsumexp)  # [N]
    slopes = torch.add(weight[:count, None], weight, out=room("slopes", z, cached.shape))
    slopes.mul_(cached)  # [count, N]
    if sums.positives_logsumexp is not None and grads.of_positives is not None:
        assert sums.cached_positives is not None
        weight_same = over_sum(grads.of_positives, sums.positives_logsumexp)  # [N]
        both = torch.add(weight_same[:count, None], weight_same, out=room("both", z, cached.shape))
        slopes.addcmul_(both, sums.cached_positives)
    return slopes @ z


def _exponentials(queries: Tensor, keys: Tensor, self_index: Tensor | None) -> Tensor:
    """[N, M], 0 where a query is not compared with a key."""
    exponentials = (queries @ keys.T).exp_()
    if self_index is not None:
        rows = (self_index >= 0).nonzero()[:, 0]
        exponentials[rows, self_index[rows]] = 0
    return exponentials


def _sums(exponentials: Tensor, shared: Tensor | None) -> Sums:
    """With the exponentials [N, M] themselves; ``shared`` says which are of positives."""
    all_logsumexp = exponentials.sum(dim=1).log_()
    if shared is None:
        return Sums(all_logsumexp, None, exponentials)
    of_positives = torch.where(shared, exponentials, 0)
    return Sums(all_logsumexp, of_positives.sum(dim=1).log_(), exponentials, of_positives)
