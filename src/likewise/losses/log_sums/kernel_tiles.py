"""Log-sum-exp of similarities by kernels, as the other forms have it; see `gpu_tiles`."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses.log_sums import gpu_tiles
from likewise.losses.log_sums.gpu_tiles import ITSELF
from likewise.losses.log_sums.sums import Pairs, SumGradients, Sums


def forward(queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
    """The sums of queries [N, D] over keys [M, D]."""
    return Sums(*gpu_tiles.forward(queries, keys, *pairs))


def forward_fixed(
    queries: Tensor, keys: Tensor, self_index: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sums over keys that get no gradient, [N], and the mean key under each query's softmax, [N, D]."""
    all_logsumexp, _ = gpu_tiles.forward(queries, keys, self_index, None, None)
    ones = torch.ones_like(all_logsumexp)
    mean, _ = gpu_tiles.backward(
        queries, keys, self_index, None, None, all_logsumexp, None, ones, None, (True, False)
    )
    assert mean is not None
    return all_logsumexp, mean


def backward(
    queries: Tensor,
    keys: Tensor,
    pairs: Pairs,
    sums: Sums,
    grads: SumGradients,
    wants: tuple[bool, bool] = (True, True),
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of queries [N, D] and keys [M, D], a pass each where they are wanted."""
    return gpu_tiles.backward(queries, keys, *pairs, *sums[:2], *grads, wants)


def forward_square(z: Tensor, ids: Tensor | None, count: int) -> Sums:
    """The sums of each of the first ``count`` rows of [N, D] over all others."""
    first, first_ids = z, ids
    if count < len(z):
        first, first_ids = z[:count], None if ids is None else ids[:count]
    return Sums(*gpu_tiles.forward(first, z, ITSELF, first_ids, ids))


def backward_square(
    z: Tensor, ids: Tensor | None, sums: Sums, grads: SumGradients, count: int
) -> Tensor:
    """The gradient [count, D] of rows that are queries and keys at once; sums and their gradients are of all rows."""
    first = None if count == len(z) else count
    return gpu_tiles.backward_square(z, ITSELF, ids, *sums[:2], *grads, count=first)
