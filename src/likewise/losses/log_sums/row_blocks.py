"""Log-sum-exp of similarities by blocks of rows on a GPU, whose matrices PyTorch multiplies.

For rows that are wider than `gpu_tiles` takes, and GPUs that it does not serve. The definitions are those of
`sums`. The scores of a block [n, M] are kept until the next; the backward makes them again. What is made of them
takes a kernel each (`matrix_kernels`), or PyTorch's operations (`one_matrix`). Nothing here waits for the device.

`forward_both` and `backward_both` are for keys that are queries of the same scores too, as images and texts are.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from likewise.losses.fused.products import add_product, product
from likewise.losses.log_sums import matrix_kernels, one_matrix
from likewise.losses.log_sums.sums import Pairs, SumGradients, Sums, SumsAndGradients

SCORES = 2**26
"""Of one block: 0.27 GB in float32. Without kernels three or four such matrices are held at a time. NO GPU HAS MEASURED
OTHERS."""


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
        log_sum, mean = one_matrix.forward_fixed(queries[rows], keys, own)
        log_sums.append(log_sum)
        means.append(mean)
    return torch.cat(log_sums), torch.cat(means)


def backward(
    queries: Tensor, keys: Tensor, pairs: Pairs, sums: Sums, grads: SumGradients
) -> tuple[Tensor, Tensor]:
    """Gradients of queries [N, D] and keys [M, D]."""
    of_queries = torch.empty_like(queries, dtype=sums.all_logsumexp.dtype)
    of_keys = torch.zeros_like(keys, dtype=of_queries.dtype)
    for rows in _blocks(queries, keys):
        given = _of_rows((sums, grads), rows)
        by_score = _slopes(queries[rows], keys, _of(pairs, rows), given)  # [n, M]
        of_queries[rows] = product(by_score, keys)
        add_product(of_keys, by_score.T, queries[rows])
    return of_queries, of_keys


def forward_square(z: Tensor, ids: Tensor | None, count: int) -> Sums:
    """The sums of each of the first ``count`` rows of [N, D] over all others; of all rows, each score once."""
    if count < len(z):
        return forward(z[:count], z, _with_others(z, ids, slice(count)))
    dtype = torch.promote_types(z.dtype, torch.float32)
    sums = [z.new_full([len(z)], -torch.inf, dtype=dtype) for _ in range(1 if ids is None else 2)]
    for rows in _blocks(z, z):
        own, others = rows.stop - rows.start, slice(rows.stop, None)
        pairs = _with_others(z[rows.start :], _part(ids, slice(rows.start, None)), slice(own))
        found, of_columns = _sums_both_ways(z[rows], z[rows.start :], pairs, own)
        for total, by_row, by_column in zip(sums, found, of_columns, strict=False):
            if by_row is not None and by_column is not None:
                total[rows] = torch.logaddexp(total[rows], by_row)
                total[others] = torch.logaddexp(total[others], by_column)
    return Sums(sums[0], None if ids is None else sums[1])


def backward_square(
    z: Tensor, ids: Tensor | None, sums: Sums, grads: SumGradients, count: int
) -> Tensor:
    """The gradient [count, D] of rows that are queries and keys at once; sums and their gradients are of all rows."""
    gradient = torch.zeros_like(z[:count], dtype=sums.all_logsumexp.dtype)
    every = sums, grads
    for rows in _blocks(z[:count], z):
        # Where all rows are here, scores with earlier ones were made with these.
        start = rows.start if count == len(z) else 0
        columns = slice(start, None)
        own = slice(rows.start - start, rows.stop - start)
        pairs = _with_others(z[columns], _part(ids, columns), own)
        # A row's scores as a key are those as a query.
        by_score = _slopes(
            z[rows], z[columns], pairs, _of_rows(every, rows), _of_rows(every, columns)
        )
        add_product(gradient[rows], by_score, z[columns])
        if count == len(z):
            add_product(gradient[rows.stop :], by_score[:, own.stop :].T, z[rows])
    return gradient


def forward_both(queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Log-sums [N] of queries over keys [M, D], and [M] of keys over queries, from the same scores."""
    found = [_sums_both_ways(queries[rows], keys, Pairs()) for rows in _blocks(queries, keys)]
    of_queries = [each.all_logsumexp for each, _ in found]
    of_keys = [each.all_logsumexp for _, each in found]
    return torch.cat(of_queries), torch.stack(of_keys).logsumexp(dim=0)


def backward_both(
    queries: Tensor,
    keys: Tensor,
    log_sums: tuple[Tensor, Tensor],
    grads: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Gradients of queries [N, D] and keys [M, D] by both log-sums."""
    of_queries = torch.empty_like(queries, dtype=log_sums[0].dtype)
    of_keys = torch.zeros_like(keys, dtype=of_queries.dtype)
    as_keys = Sums(log_sums[1], None), SumGradients(grads[1], None)
    for rows in _blocks(queries, keys):
        given = Sums(log_sums[0][rows], None), SumGradients(grads[0][rows], None)
        by_score = _slopes(queries[rows], keys, Pairs(), given, as_keys)  # [n, M]
        of_queries[rows] = product(by_score, keys)
        add_product(of_keys, by_score.T, queries[rows])
    return of_queries, of_keys


def _blocks(queries: Tensor, keys: Tensor) -> Iterator[slice]:
    height = max(1, SCORES // max(1, len(keys)))
    for start in range(0, len(queries), height):
        yield slice(start, min(start + height, len(queries)))


def _with_others(z: Tensor, ids: Tensor | None, rows: slice) -> Pairs:
    """Pairs of some rows with all of [N, D]; own keys have their index."""
    own = torch.arange(len(z), device=z.device)[rows]
    return Pairs(own, _part(ids, rows), ids)


def _of(pairs: Pairs, rows: slice) -> Pairs:
    """The pairs of some queries."""
    return Pairs(_part(pairs.self_index, rows), _part(pairs.query_id, rows), pairs.key_id)


def _part(values: Tensor | None, rows: slice) -> Tensor | None:
    return None if values is None else values[rows]


def _sums(queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
    """A block's, without its scores."""
    scores = product(queries, keys.T)  # [n, M]
    if matrix_kernels.serves(scores):
        return matrix_kernels.log_sums(scores, pairs)
    sums = one_matrix.sums_of(*one_matrix.compared(scores, pairs))
    return sums._replace(cached=None, cached_positives=None)


def _sums_both_ways(
    queries: Tensor, keys: Tensor, pairs: Pairs, first: int = 0
) -> tuple[Sums, Sums]:
    """A block's, and those of the keys from the first that counts on, over the block's queries."""
    scores = product(queries, keys.T)  # [n, M]
    if matrix_kernels.serves(scores):
        return matrix_kernels.log_sums(scores, pairs), matrix_kernels.column_log_sums(
            scores, pairs, first
        )
    scores, of_positives = one_matrix.compared(scores, pairs)
    positives = None if of_positives is None else of_positives[:, first:].logsumexp(dim=0)
    of_columns = Sums(scores[:, first:].logsumexp(dim=0), positives)
    of_rows = one_matrix.sums_of(scores, of_positives)
    return of_rows._replace(cached=None, cached_positives=None), of_columns


def _of_rows(every: SumsAndGradients, rows: slice) -> SumsAndGradients:
    """Of some queries."""
    sums, grads = every
    part = Sums(sums.all_logsumexp[rows], _part(sums.positives_logsumexp, rows))
    return part, SumGradients(grads.of_all[rows], _part(grads.of_positives, rows))


def _slopes(
    queries: Tensor,
    keys: Tensor,
    pairs: Pairs,
    as_queries: SumsAndGradients,
    as_keys: SumsAndGradients | None = None,
) -> Tensor:
    """The derivative by each score of a block [n, M], of its rows as queries, and of keys that are queries too."""
    scores = product(queries, keys.T)
    if matrix_kernels.serves(scores):
        return matrix_kernels.slopes(scores, pairs, as_queries, as_keys, keys.dtype)
    scores, of_positives = one_matrix.compared(scores, pairs)
    sums, grads = as_queries
    sums = sums._replace(cached=scores, cached_positives=of_positives)
    by_score = one_matrix.slopes(sums, grads)
    if as_keys is not None:
        sums, grads = as_keys
        sums = sums._replace(cached=scores, cached_positives=of_positives)
        by_score += one_matrix.slopes(sums, grads, lambda values: values[None])
    return by_score
