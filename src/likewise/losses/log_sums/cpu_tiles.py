"""Log-sum-exp of similarities without ever holding them all: tiles that fit a core's cache, recomputed in the backward.

The gradients are two products with a tile that a third one has made again. Nothing of size N x M is stored: the memory
is O((N + M) D + TILE^2). What the sums are is in `sums`. Three ways, from the general to the special:

- `forward` and `backward`: any queries against any keys. The maximum is followed from tile to tile (Milakov &
  Gimelshein 2018, https://arxiv.org/abs/1805.02867), so no temperature is too small. 8 N M D operations where both get
  gradients.
- `forward_fixed`: keys without gradient (a queue). The softmax's mean key, which is the whole gradient, is summed in
  the forward, as attention does (Dao et al. 2022, https://arxiv.org/abs/2205.14135): 4 N M D operations, no backward
  at all.
- `forward_square` and `backward_square`: queries that are the keys. Similarities are symmetric, so the tiles on and
  above the diagonal do: E_IJ serves its rows by  (E_IJ * (w_i + w_j)) z_J  and its columns by the transpose of the
  same, with w = g e^{-all}. 4 N^2 D operations where the general form takes 8. Exponentials are taken unshifted,
  which `bounded` must have allowed.

`gpu_tiles` is the twin for GPUs; `dense` says the same without tiles, and is what both are tested against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from likewise.losses.log_sums.running_sum import RunningSum
from likewise.losses.log_sums.sums import Pairs, SumGradients, Sums, never_reached, over_sum
from likewise.losses.log_sums.tile_memory import room

TILE = 512
"""Rows and columns of a tile: 1 MB in float32, half of a core's second-level cache. 256 and 1024 were slower."""


def forward(queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
    """The sums of queries [N, D] over keys [M, D]."""
    blocks = [queries[rows] for rows in _cut(len(queries))]
    of_all = [RunningSum(block) for block in blocks]
    of_positives = [RunningSum(block) for block in blocks]
    for block, _, scores, shared in _tiles(queries, keys, pairs):
        if shared is not None:
            of_positives[block].add(scores.masked_fill(~shared, -torch.inf))
        of_all[block].add(scores)
    return Sums(_joined(of_all), None if pairs.query_id is None else _joined(of_positives))


def forward_fixed(
    queries: Tensor, keys: Tensor, self_index: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The sums over keys that get no gradient, [N], and the mean key under each query's softmax, [N, D]."""
    sums = [RunningSum(queries[rows], mean_of=keys) for rows in _cut(len(queries))]
    for block, columns, scores, _ in _tiles(queries, keys, Pairs(self_index)):
        sums[block].add(scores, keys[columns])
    return _joined(sums), torch.cat([running.mean() for running in sums])


def backward(
    queries: Tensor, keys: Tensor, pairs: Pairs, sums: Sums, grads: SumGradients
) -> tuple[Tensor, Tensor]:
    """Gradients of queries [N, D] and keys [M, D]."""
    all_logsumexp = never_reached(sums.all_logsumexp)
    positives_logsumexp = None
    if sums.positives_logsumexp is not None:
        positives_logsumexp = never_reached(sums.positives_logsumexp)
    grad_queries = torch.zeros_like(queries)
    grad_keys = torch.zeros_like(keys)
    cut = _cut(len(queries))
    for block, columns, scores, shared in _tiles(queries, keys, pairs):
        rows = cut[block]
        of_positives = None
        if (
            positives_logsumexp is not None
            and grads.of_positives is not None
            and shared is not None
        ):
            log_share = scores - positives_logsumexp[rows, None]
            log_share.masked_fill_(~shared, -torch.inf)  # e^ of the others may be infinite
            of_positives = log_share.exp_().mul_(grads.of_positives[rows, None])
        # d loss / d score, [rows, columns]
        slopes = scores.sub_(all_logsumexp[rows, None]).exp_().mul_(grads.of_all[rows, None])
        if of_positives is not None:
            slopes += of_positives
        grad_queries[rows].addmm_(slopes, keys[columns])
        grad_keys[columns].addmm_(slopes.T, queries[rows])
    return grad_queries, grad_keys


def forward_square(z: Tensor, ids: Tensor | None, count: int) -> Sums:
    """The sums of each of the first ``count`` rows of [N, D] over all others; scores must be `bounded`."""
    if count < len(z):
        return forward(z[:count], z, _first_against_all(z, ids, count))
    of_all = z.new_zeros(len(z))
    of_positives = torch.zeros_like(of_all)
    parts = of_all.split(TILE)
    positive_parts = of_positives.split(TILE)
    for i, j, tile, shared in _upper_tiles(z, ids):
        _add_both_ways(parts, i, j, tile)
        if shared is not None:
            _add_both_ways(positive_parts, i, j, tile.mul_(shared))
    return Sums(of_all.log_(), None if ids is None else of_positives.log_())


def backward_square(
    z: Tensor, ids: Tensor | None, sums: Sums, grads: SumGradients, count: int
) -> Tensor:
    """The gradient [count, D] of rows that are queries and keys at once; sums and their gradients are of all rows."""
    weight = over_sum(grads.of_all, sums.all_logsumexp)
    weight_same = None
    if sums.positives_logsumexp is not None and grads.of_positives is not None:
        weight_same = over_sum(grads.of_positives, sums.positives_logsumexp)
    if count < len(z):
        return _backward_of_first(z, ids, weight, weight_same, count)
    gradient = torch.zeros_like(z)
    # Split once, not once a tile.
    parts = z.split(TILE)
    weights = weight.split(TILE)
    weights_same = None if weight_same is None else weight_same.split(TILE)
    gradients = gradient.split(TILE)
    for i, j, tile, shared in _upper_tiles(z, ids):
        memory = room("slopes", z, tile.shape)
        slopes = torch.add(weights[i][:, None], weights[j], out=memory)
        if weights_same is not None and shared is not None:
            slopes += (weights_same[i][:, None] + weights_same[j]).mul_(shared)
        slopes.mul_(tile)
        gradients[i].addmm_(slopes, parts[j])
        if i != j:
            gradients[j].addmm_(slopes.T, parts[i])
    return gradient


def _first_against_all(z: Tensor, ids: Tensor | None, count: int) -> Pairs:
    """Pairs of the first rows, whose own keys have their index."""
    first_ids = None if ids is None else ids[:count]
    return Pairs(torch.arange(count, device=z.device), first_ids, ids)


def _backward_of_first(
    z: Tensor, ids: Tensor | None, weight: Tensor, weight_same: Tensor | None, count: int
) -> Tensor:
    """As `backward_square`, with each tile for its rows alone: 6 N^2 D operations over all ranks, no half is saved."""
    gradient = torch.zeros_like(z[:count])
    pairs = _first_against_all(z, ids, count)
    cut = _cut(count)
    for block, columns, scores, shared in _tiles(z[:count], z, pairs):
        rows = cut[block]
        memory = room("slopes", z, scores.shape)
        slopes = torch.add(weight[rows, None], weight[columns], out=memory)
        if weight_same is not None and shared is not None:
            slopes += (weight_same[rows, None] + weight_same[columns]).mul_(shared)
        gradient[rows].addmm_(slopes.mul_(scores.exp_()), z[columns])
    return gradient


def _joined(parts: list[RunningSum]) -> Tensor:
    return torch.cat([part.log_sum() for part in parts])


def _tiles(
    queries: Tensor, keys: Tensor, pairs: Pairs
) -> Iterator[tuple[int, slice, Tensor, Tensor | None]]:
    """All tiles: the index of the row block, the columns, scores (-inf for an own key), who shares an id if any may."""
    self_index, query_id, key_id = pairs
    down = _cut(len(queries))
    across = _cut(len(keys))
    # Of each block, the ids in it and the keys of its rows: most tiles have no pair that is special.
    rows_share = _spans(query_id, down)
    columns_share = _spans(key_id, across)
    rows_own = _spans(self_index, down)
    for block, rows in enumerate(down):
        for other, columns in enumerate(across):
            shape = rows.stop - rows.start, columns.stop - columns.start
            scores = torch.mm(queries[rows], keys[columns].T, out=room("tile", queries, shape))
            ends = columns.start, columns.stop - 1
            if self_index is not None and _overlap(rows_own[block], ends):
                _leave_out(scores, self_index[rows] - columns.start)
            shared = None
            may_share = _overlap(rows_share[block], columns_share[other])
            if query_id is not None and key_id is not None and may_share:
                shared = query_id[rows, None] == key_id[columns]
            yield block, columns, scores, shared


def _upper_tiles(z: Tensor, ids: Tensor | None) -> Iterator[tuple[int, int, Tensor, Tensor | None]]:
    """Tiles (i, j) of e^score with i <= j, 0 on the diagonal; and who shares an id, where any may."""
    parts = z.split(TILE)
    parts_of_ids = None if ids is None else ids.split(TILE)
    spans = _spans(ids, _cut(len(z)))
    for i, rows in enumerate(parts):
        for j, columns in enumerate(parts[i:], i):
            shape = len(rows), len(columns)
            tile = torch.mm(rows, columns.T, out=room("tile", z, shape)).exp_()
            if i == j:
                tile.fill_diagonal_(0)
            shared = None
            if parts_of_ids is not None and _overlap(spans[i], spans[j]):
                shared = parts_of_ids[i][:, None] == parts_of_ids[j]
            yield i, j, tile, shared


def _add_both_ways(sums: Sequence[Tensor], i: int, j: int, tile: Tensor) -> None:
    sums[i].add_(tile.sum(dim=1))
    if i != j:
        sums[j].add_(tile.sum(dim=0))


def _leave_out(scores: Tensor, self_index: Tensor) -> None:
    """-inf in the column of each row's own key, where this tile has it."""
    is_here = (self_index >= 0) & (self_index < scores.shape[1])
    rows = is_here.nonzero()[:, 0]
    scores[rows, self_index[rows]] = -torch.inf


def _cut(count: int) -> list[slice]:
    return [slice(start, min(start + TILE, count)) for start in range(0, count, TILE)]


def _spans(values: Tensor | None, cut: list[slice]) -> list[tuple[int, int]]:
    """Least and greatest value in each block."""
    if values is None or not cut:
        return [(0, 0)] * len(cut)
    spans = []
    for part in cut:
        least, most = values[part].aminmax()
        spans.append((int(least), int(most)))
    return spans


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
