"""The tiled contrastive log-sum-exp on a GPU: O((N + M) D) memory, no score ever written to it.

With scores s_ia = q_i . k_a (the temperature is already in the queries), ``forward`` computes::

    all_i = log sum_{a != self_i} exp(s_ia)
    positives_i     = log sum_{a != self_i, key_id_a = query_id_i} exp(s_ia)

and ``backward`` the gradients that belong to them, from scores computed again. Sums and gradients accumulate in
float32; no two programs add to one number, so a call repeated gives the same bits.

Triton is imported by the first call, never by ``import likewise``; nothing is compiled before. The first call for a
dtype, a D and a set of arguments takes some seconds for that and says so; Triton keeps the outcome on disk.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from likewise.errors import LikewiseError
from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.devices import LOG2E, run_on
from likewise.losses.fused.tiling import Tiles, filled
from likewise.losses.log_sums import gpu_triangle
from likewise.losses.log_sums.launch import backward_tiles, forward_tiles, launch
from likewise.losses.log_sums.own_keys import own_keys, own_spans, spans
from likewise.losses.log_sums.query_weights import QueryWeights, query_weights

WIDEST = {torch.bfloat16: 512, torch.float16: 512, torch.float32: 128}
"""Columns of the embedding. A block's gradient is held in registers, all D of it; float32 needs more for its products,
and beyond 128 the compiler moves kilobytes a thread to memory."""

SAFE_SCORE = 64.0
"""In the forward, in powers of two: sums of 2**-64 to 2**64 fit float32 for any number of keys that fits a GPU."""

ITSELF: Literal["itself"] = "itself"
"""Instead of ``self_index``: the queries are the keys, or the first of them; each one's own key has its index."""

SelfIndex = Tensor | Literal["itself"] | None


def supports(queries: Tensor, keys: Tensor) -> bool:
    """Whether these kernels can serve the two matrices; if not, the caller takes another way.

    They need a CUDA device of compute capability 8.0 (Ampere) or later, with Triton 3.3 or later; bfloat16 or float16
    with D up to 512, or float32 with D up to 128. On a CPU the kernels run only through Triton's interpreter
    (``TRITON_INTERPRET=1`` before Triton is imported), for tests. AMD devices are untried, and not served.
    ``LIKEWISE_NATIVE=0`` turns these kernels off too.
    """
    if queries.dtype != keys.dtype or queries.device != keys.device:
        return False
    return 1 <= queries.shape[1] <= WIDEST.get(queries.dtype, 0) and run_on(queries.device)


def forward(
    queries: Tensor,
    keys: Tensor,
    self_index: SelfIndex,
    query_id: Tensor | None,
    key_id: Tensor | None,
    tiles: Tiles | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Both log-sums in one pass over the scores.

    Args:
        queries: [N, D], already divided by the temperature.
        keys: [M, D], same dtype.
        self_index: int64 [N], the key that a query is not compared with; -1 for none. Fastest where neighbouring
            queries have neighbouring keys, as in ``arange(N)``, which ITSELF means.
        query_id: int64 [N], or None.
        key_id: int64 [M]; None together with ``query_id``. Equality is all that is tested.
        tiles: how to cut; chosen by dtype and D if None.

    Returns:
        all_logsumexp: float32 [N]; -inf where a query is compared with nothing.
        positives_logsumexp: float32 [N], or None without ids; -inf where no key compared has the query's id.

    Any score that float32 holds is safe. Float32 products are made of three in TensorFloat-32, which is about float32,
    or of one where ``torch.set_float32_matmul_precision`` allows it.
    """
    _check(queries, keys)
    rows, columns = len(queries), len(keys)
    if rows == 0 or columns == 0:
        empty = queries.new_full([rows], -math.inf, dtype=torch.float32)
        return empty, None if query_id is None else empty.clone()
    is_square = keys is queries
    queries = queries.contiguous()
    keys = queries if is_square else keys.contiguous()
    ids = _packed(query_id), _packed(key_id)
    is_symmetric = is_square and query_id is key_id and isinstance(self_index, str)
    if is_symmetric and gpu_sizes.by_triangle(rows):
        return gpu_triangle.forward(queries, ids[0], _bounded(queries, keys), tiles)
    tiles = filled(tiles or forward_tiles(queries), queries, keys)
    own = _narrow(self_index, keys)
    span = _spans(self_index, own, tiles, (queries, keys), (True, False))
    all_logsumexp = queries.new_empty([tiles.splits or 1, rows], dtype=torch.float32)
    positives_logsumexp = all_logsumexp if query_id is None else torch.empty_like(all_logsumexp)
    results = all_logsumexp, positives_logsumexp
    launch(
        "forward_kernel",
        tiles,
        queries,
        (queries, keys, own, *ids, span, _bounded(queries, keys), *results, rows, columns),
        HAS_OWN=self_index is not None,
        HAS_IDS=query_id is not None,
    )
    return _joined(all_logsumexp), None if query_id is None else _joined(positives_logsumexp)


def backward(
    queries: Tensor,
    keys: Tensor,
    self_index: SelfIndex,
    query_id: Tensor | None,
    key_id: Tensor | None,
    all_logsumexp: Tensor,
    positives_logsumexp: Tensor | None,
    grad_all: Tensor,
    grad_positives: Tensor | None,
    wants: tuple[bool, bool],
    tiles: Tiles | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of the queries and of the keys, each in a pass of its own if it is wanted.

    With c_ia = [a != self_i] (grad_all_i exp(s_ia - all_i) + [same id] grad_positives_i exp(s_ia - positives_i)) they
    are c @ keys and c^T @ queries. A log-sum of -inf adds nothing. In half precision c is rounded to the dtype of the
    inputs for the second product, as attention kernels do.

    Args:
        queries: as in `forward`, and so are ``keys``, ``self_index``, ``query_id``, ``key_id`` and ``tiles``.
        keys: [M, D].
        self_index: int64 [N] or None.
        query_id: int64 [N] or None.
        key_id: int64 [M] or None.
        all_logsumexp: what `forward` returned.
        positives_logsumexp: what `forward` returned.
        grad_all: [N].
        grad_positives: [N]; None without ids.
        wants: whether the queries' gradient is wanted, and the keys'.
        tiles: how to cut.

    Returns:
        Float32 [N, D] or None, and [M, D] or None.
    """
    weights = query_weights(
        queries, (all_logsumexp, positives_logsumexp), (grad_all, grad_positives)
    )
    of_queries = of_keys = None
    if wants[0]:
        of_queries = _gradient(
            queries, keys, self_index, query_id, key_id, weights, (True, False), tiles
        )
    if wants[1]:
        of_keys = _gradient(
            keys, queries, self_index, key_id, query_id, weights, (False, True), tiles
        )
    return of_queries, of_keys


def backward_square(
    z: Tensor,
    self_index: SelfIndex,
    ids: Tensor | None,
    all_logsumexp: Tensor,
    positives_logsumexp: Tensor | None,
    grad_all: Tensor,
    grad_positives: Tensor | None,
    tiles: Tiles | None = None,
    count: int | None = None,
) -> Tensor:
    """(c + c^T) @ z in one pass, float32 [N, D]: the gradient where the queries are the keys; c as in `backward`.

    With ``count`` the gradient of the first rows alone, [count, D], from log-sums and gradients of all; ``self_index``
    must then be ITSELF.
    """
    weights = query_weights(z, (all_logsumexp, positives_logsumexp), (grad_all, grad_positives))
    first = z if count is None else z[:count]
    first_ids = ids if count is None or ids is None else ids[:count]
    return _gradient(first, z, self_index, first_ids, ids, weights, (True, True), tiles)


def _gradient(
    outer: Tensor,
    inner: Tensor,
    self_index: SelfIndex,
    outer_id: Tensor | None,
    inner_id: Tensor | None,
    weights: QueryWeights,
    roles: tuple[bool, bool],
    tiles: Tiles | None,
) -> Tensor:
    """Sum over the inner rows of their coefficient with each outer row, which is query or key or both to them."""
    _check(outer, inner)
    rows, columns = len(outer), len(inner)
    if rows == 0 or columns == 0:
        return torch.zeros_like(outer, dtype=torch.float32)
    tiles = filled(tiles or backward_tiles(outer), outer, inner)
    own = _narrow(self_index, inner)
    span = _spans(self_index, own, tiles, (outer, inner), roles)
    matrices = outer.contiguous(), inner.contiguous()
    ids = _packed(outer_id), _packed(inner_id)
    *by_query, _ = weights
    gradient = outer.new_empty([tiles.splits or 1, *outer.shape], dtype=torch.float32)
    launch(
        "backward_kernel",
        tiles,
        outer,
        (*matrices, own, *ids, *by_query, span, gradient, rows, columns),
        AS_QUERY=roles[0],
        AS_KEY=roles[1],
        HAS_OWN=self_index is not None,
        HAS_IDS=weights.weight_same is not None,
    )
    total = gradient[0] if len(gradient) == 1 else gradient.sum(dim=0)
    return total if weights.enlarged is None else total / weights.enlarged


def _check(queries: Tensor, keys: Tensor) -> None:
    if not supports(queries, keys):
        raise LikewiseError(
            f"The GPU kernels cannot serve {queries.dtype} {tuple(queries.shape)} on {queries.device} with "
            f"{keys.dtype} {tuple(keys.shape)} on {keys.device}. They need Triton 3.3, a CUDA device of capability 8.0 "
            f"or later, and both sides in bfloat16 or float16 with at most {WIDEST[torch.float16]} columns, or in "
            f"float32 with at most {WIDEST[torch.float32]}; ask supports()."
        )


def _bounded(queries: Tensor, keys: Tensor) -> Tensor:
    """Int32: 1 if no score can leave the range of float32, by Cauchy and Schwarz; 0 for NaN."""
    longest_query = _longest(queries)
    longest_key = longest_query if keys is queries else _longest(keys)
    return (longest_query * longest_key < SAFE_SCORE / LOG2E).int()


def _longest(rows: Tensor) -> Tensor:
    """The greatest length of a row of [N, D]."""
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32).max()


def _narrow(self_index: SelfIndex, every: Tensor) -> Tensor | None:
    """The key of each query; ITSELF of as many as all rows are, whose first may be the queries."""
    if self_index is None:
        return None
    if isinstance(self_index, str):
        return own_keys(len(every), every.device)
    return self_index.to(torch.int32).contiguous()


def _spans(
    self_index: SelfIndex,
    own: Tensor | None,
    tiles: Tiles,
    sides: tuple[Tensor, Tensor],
    roles: tuple[bool, bool],
) -> Tensor | None:
    """Where blocks of the outer side have pairs to leave out."""
    if isinstance(self_index, str):
        return own_spans(tiles, len(sides[0]), sides[0].device)
    return spans(own, tiles, len(sides[0]), len(sides[1]), roles)


def _packed(ids: Tensor | None) -> Tensor | None:
    return None if ids is None else ids.contiguous()


def _joined(parts: Tensor) -> Tensor:
    """Log-sums of the splits [splits, N] to those of all keys."""
    return parts[0] if len(parts) == 1 else parts.logsumexp(dim=0)
