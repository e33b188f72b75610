"""Log-sum-exp of similarities from one matrix of scores: few launches on a GPU, and nothing that waits for it.

The definitions are those of `tiles_torch`. Used on devices other than CPUs where the matrix is small, and where
`tiles_triton` does not serve the format.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from likewise.losses.tiles_torch import Pairs, Sums, never_reached

MOST_PAIRS = 2**22
"""Queries times keys up to which this form goes before `tiles_triton`: 2,048 squared, 16 MB of scores in float32."""


def forward(queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
    """The sums of queries [N, D] over keys [M, D]; the scores are cached."""
    scores = _scores(queries, keys, pairs.self_index)
    shared = (
        None
        if pairs.query_id is None or pairs.key_id is None
        else pairs.query_id[:, None] == pairs.key_id
    )
    return _sums(scores, shared)


def forward_fixed(
    queries: Tensor, keys: Tensor, self_index: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sums over keys that get no gradient, [N], and the mean key under each query's softmax, [N, D]."""
    scores = _scores(queries, keys, self_index)
    log_sum = scores.logsumexp(dim=1)
    return log_sum, scores.sub_(never_reached(log_sum)[:, None]).exp_() @ keys


def backward(
    queries: Tensor, keys: Tensor, sums: Sums, grad_all: Tensor, grad_positives: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Gradients of queries [N, D] and keys [M, D]."""
    slopes = _slopes(sums, grad_all, grad_positives)
    return slopes @ keys, slopes.T @ queries


def forward_square(z: Tensor, ids: Tensor | None, count: int) -> Sums:
    """The sums of each of the first ``count`` rows of [N, D] over all others; the scores are cached."""
    scores = (z[:count] @ z.T).fill_diagonal_(-torch.inf)
    return _sums(scores, None if ids is None else ids[:count, None] == ids)


def backward_square(
    z: Tensor, sums: Sums, grad_all: Tensor, grad_positives: Tensor | None, count: int
) -> Tensor:
    """The gradient [count, D] of rows that are queries and keys at once; sums and their gradients are of all rows."""
    as_queries = _slopes(sums, grad_all, grad_positives, lambda values: values[:count, None])
    if count == len(z):
        return (as_queries + as_queries.T) @ z
    # Scores are symmetric.
    as_keys = _slopes(sums, grad_all, grad_positives, lambda values: values[None])
    return as_queries.add_(as_keys) @ z


def _scores(queries: Tensor, keys: Tensor, self_index: Tensor | None) -> Tensor:
    """[N, M], -inf where a query is not compared with a key."""
    scores = queries @ keys.T
    if self_index is None:
        return scores
    column = torch.arange(len(keys), device=keys.device)
    return scores.masked_fill_(self_index[:, None] == column, -torch.inf)


def _sums(scores: Tensor, shared: Tensor | None) -> Sums:
    all_logsumexp = scores.logsumexp(dim=1)
    if shared is None:
        return Sums(all_logsumexp, None, scores)
    same = scores.masked_fill(~shared, -torch.inf)
    return Sums(all_logsumexp, same.logsumexp(dim=1), scores, same)


def _slopes(
    sums: Sums,
    grad_all: Tensor,
    grad_positives: Tensor | None,
    beside: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """[N, M], the derivative of the loss by each score; ``beside`` lays a number for each query beside the scores."""
    assert sums.cached is not None
    beside = beside or (lambda values: values[:, None])
    slopes = (sums.cached - beside(never_reached(sums.all_logsumexp))).exp_().mul_(beside(grad_all))
    if sums.positives_logsumexp is None or sums.cached_positives is None or grad_positives is None:
        return slopes
    of_same = (sums.cached_positives - beside(never_reached(sums.positives_logsumexp))).exp_()
    return slopes.addcmul_(of_same, beside(grad_positives))
