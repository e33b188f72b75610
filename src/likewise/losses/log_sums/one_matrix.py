"""Log-sum-exp of similarities from one matrix of scores: few launches on a GPU, and nothing that waits for it.

The definitions are those of `sums`. Used on devices other than CPUs where the matrix is small, and where
`gpu_tiles` does not serve the format.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from likewise.losses.fused.products import product
from likewise.losses.log_sums.sums import Pairs, SumGradients, Sums, never_reached

MOST_PAIRS = 2**22
"""Queries times keys up to which this form goes before `gpu_tiles`: 2,048 squared, 16 MB of scores in float32."""


def forward(queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
    """The sums of queries [N, D] over keys [M, D]; the scores are cached."""
    return sums_of(*compared(product(queries, keys.T), pairs))


def forward_fixed(
    queries: Tensor, keys: Tensor, self_index: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sums over keys that get no gradient, [N], and the mean key under each query's softmax, [N, D]."""
    scores = _without_own(product(queries, keys.T), self_index)
    log_sum = scores.logsumexp(dim=1)
    softmax = scores.sub_(never_reached(log_sum)[:, None]).exp_()  # [N, M]
    return log_sum, product(softmax, keys)


def backward(
    queries: Tensor, keys: Tensor, pairs: Pairs, sums: Sums, grads: SumGradients
) -> tuple[Tensor, Tensor]:
    """Gradients of queries [N, D] and keys [M, D]."""
    by_score = slopes(sums, grads)
    return product(by_score, keys), product(by_score.T, queries)


def forward_square(z: Tensor, ids: Tensor | None, count: int) -> Sums:
    """The sums of each of the first ``count`` rows of [N, D] over all others; the scores are cached."""
    scores = product(z[:count], z.T).fill_diagonal_(-torch.inf)
    return sums_of(scores, None if ids is None else _of_positives(scores, ids[:count, None] == ids))


def backward_square(
    z: Tensor, ids: Tensor | None, sums: Sums, grads: SumGradients, count: int
) -> Tensor:
    """The gradient [count, D] of rows that are queries and keys at once; sums and their gradients are of all rows."""
    as_queries = slopes(sums, grads, lambda values: values[:count, None])
    if count == len(z):
        return product(as_queries + as_queries.T, z)
    # The others' scores with these rows are the same numbers, as scores are symmetric.
    as_keys = slopes(sums, grads, lambda values: values[None])
    return product(as_queries.add_(as_keys), z)


def compared(scores: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor | None]:
    """Scores [N, M], -inf where a query is not compared with a key; and those of positives, -inf elsewhere, or None."""
    scores = _without_own(scores, pairs.self_index)
    shared = pairs.same_id()
    return scores, None if shared is None else _of_positives(scores, shared)


def _without_own(scores: Tensor, self_index: Tensor | None) -> Tensor:
    """Scores [N, M], -inf at each query's own key."""
    if self_index is None:
        return scores
    column = torch.arange(scores.shape[1], device=scores.device)
    return scores.masked_fill_(self_index[:, None] == column, -torch.inf)


def _of_positives(scores: Tensor, shared: Tensor) -> Tensor:
    return scores.masked_fill(~shared, -torch.inf)


def sums_of(scores: Tensor, of_positives: Tensor | None) -> Sums:
    """With the scores [N, M] themselves, and those of positives."""
    positives_logsumexp = None if of_positives is None else of_positives.logsumexp(dim=1)
    return Sums(scores.logsumexp(dim=1), positives_logsumexp, scores, of_positives)


def slopes(
    sums: Sums,
    grads: SumGradients,
    per_score: Callable[[Tensor], Tensor] = lambda values: values[:, None],
) -> Tensor:
    """[N, M], the derivative of the loss by each score; ``per_score`` lays a number of each query along its scores."""
    assert sums.cached is not None
    log_sum = per_score(never_reached(sums.all_logsumexp))
    by_score = (sums.cached - log_sum).exp_().mul_(per_score(grads.of_all))
    if sums.positives_logsumexp is None or grads.of_positives is None:
        return by_score
    assert sums.cached_positives is not None
    log_sum = per_score(never_reached(sums.positives_logsumexp))
    of_positives = (sums.cached_positives - log_sum).exp_()
    return by_score.addcmul_(of_positives, per_score(grads.of_positives))
