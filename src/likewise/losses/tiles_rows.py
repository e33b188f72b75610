"""Log-sum-exp of similarities by blocks of rows on a GPU, whose matrices PyTorch multiplies.

For rows that are wider than `tiles_triton` takes, and GPUs that it does not serve. The definitions are those of
`tiles_torch`. The scores of a block [n, M] are kept until the next; the backward makes them again. Nothing here waits
for the device.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from likewise.losses import tiles_dense
from likewise.losses.tiles_dense import product, slopes
from likewise.losses.tiles_torch import Pairs, Sums

SCORES = 2**26
"""Of one block: 0.27 GB in float32. Three or four such matrices are held at a time. NO GPU HAS MEASURED OTHERS."""


def forward(queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
    """The sums of queries [N, D] over keys [M, D]."""
    found = [_sums(queries[rows], keys, _of(pairs, rows)) for rows in _blocks(queries, keys)]
    all_logsumexp = torch.cat([sums.all_logsumexp for sums in found])
    positives = [sums.positives_logsumexp for sums in found if sums.positives_logsumexp is not None]
    return Sums(all_logsumexp, torch.cat(positives) if positives else None)


def forward_fixed(
    queries: Tensor, keys: Tensor, self_index: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sums over keys that get no gradient, [N], and the mean key under each query's softmax, [N, D]."""
    log_sums, means = [], []
    for rows in _blocks(queries, keys):
        own = None if self_index is None else self_index[rows]
        log_sum, mean = tiles_dense.forward_fixed(queries[rows], keys, own)
        log_sums.append(log_sum)
        means.append(mean)
    return torch.cat(log_sums), torch.cat(means)


def backward(
    queries: Tensor,
    keys: Tensor,
    pairs: Pairs,
    sums: Sums,
    grad_all: Tensor,
    grad_positives: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Gradients of queries [N, D] and keys [M, D]."""
    of_queries = torch.empty_like(queries, dtype=sums.all_logsumexp.dtype)
    of_keys = torch.zeros_like(keys, dtype=of_queries.dtype)
    for rows in _blocks(queries, keys):
        block = _again(queries, keys, pairs, sums, rows)
        by_score = slopes(block, grad_all[rows], _part(grad_positives, rows))  # [n, M]
        of_queries[rows] = product(by_score, keys)
        of_keys += product(by_score.T, queries[rows])
    return of_queries, of_keys


def forward_square(z: Tensor, ids: Tensor | None, count: int) -> Sums:
    """The sums of each of the first ``count`` rows of [N, D] over all others."""
    return forward(z[:count], z, _with_others(z, ids, count))


def backward_square(
    z: Tensor,
    ids: Tensor | None,
    sums: Sums,
    grad_all: Tensor,
    grad_positives: Tensor | None,
    count: int,
) -> Tensor:
    """The gradient [count, D] of rows that are queries and keys at once; sums and their gradients are of all rows."""
    gradient = torch.empty_like(z[:count], dtype=sums.all_logsumexp.dtype)
    pairs = _with_others(z, ids, count)
    for rows in _blocks(z[:count], z):
        block = _again(z, z, pairs, sums, rows)
        by_score = slopes(block, grad_all[rows], _part(grad_positives, rows))  # [n, N]
        # A row's scores as a key are those as a query.
        of_all_queries = sums._replace(cached=block.cached, cached_positives=block.cached_positives)
        by_score += slopes(of_all_queries, grad_all, grad_positives, lambda values: values[None])
        gradient[rows] = product(by_score, z)
    return gradient


def _blocks(queries: Tensor, keys: Tensor) -> Iterator[slice]:
    height = max(1, SCORES // max(1, len(keys)))
    for start in range(0, len(queries), height):
        yield slice(start, min(start + height, len(queries)))


def _with_others(z: Tensor, ids: Tensor | None, count: int) -> Pairs:
    """Pairs of the first rows, whose own keys have their index."""
    return Pairs(torch.arange(count, device=z.device), _part(ids, slice(count)), ids)


def _of(pairs: Pairs, rows: slice) -> Pairs:
    """The pairs of some queries."""
    return Pairs(_part(pairs.self_index, rows), _part(pairs.query_id, rows), pairs.key_id)


def _part(values: Tensor | None, rows: slice) -> Tensor | None:
    return None if values is None else values[rows]


def _sums(queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
    """A block's, without its scores."""
    sums = tiles_dense.forward(queries, keys, pairs)
    return sums._replace(cached=None, cached_positives=None)


def _again(queries: Tensor, keys: Tensor, pairs: Pairs, sums: Sums, rows: slice) -> Sums:
    """A block's sums with its scores."""
    scores, of_positives = tiles_dense.compared(queries[rows], keys, _of(pairs, rows))
    return Sums(
        sums.all_logsumexp[rows], _part(sums.positives_logsumexp, rows), scores, of_positives
    )
