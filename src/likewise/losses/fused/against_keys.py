"""Contrast of queries with keys on a GPU, in two launches forward and one backward for each side that learns.

With s_ia = q_i . k_a / temperature, A(i) the keys that query i is compared with, P(i) those of its id, and::

    L_i = log sum_{A(i)} e^{s_ia}        M_i = log sum_{P(i)} e^{s_ia}

the losses of a query, and their gradients by s_ia, are::

    soft  w_i L_i - sum_a t_ia s_ia           w_i e^{s_ia - L_i} - t_ia       targets t_ia, whose sum is w_i
    out   L_i - 1/|P(i)| sum_{P(i)} s_ia      e^{s_ia - L_i} - 1/|P(i)|
    in    L_i - M_i + log |P(i)|              e^{s_ia - L_i} - e^{s_ia - M_i}
    nca   L_i - M_i                           the same
    bags  L_i - M_i                           the same, and e^{s_ia - L_j} for each key a of the bag of another query j

where what is subtracted in a gradient belongs to the keys in P(i). Of "bags" the keys are in order, as many for each
query, its P(i). A(i) is all of them, and L_i has the scores of the query's bag with all other queries too; they take
one more launch.

The loss is the mean over the queries, by ids over those that have a positive. The gradients of q_i and k_a are those of
the scores' sums with the other side's rows over the temperature, and that of the temperature is the sum of
-q_i . gradient_i / temperature. Scores are made again in the backward; nothing of N x M is stored but the targets.
`distillation.soft_nce`, `contrastive.info_nce` and `mil_nce.mil_nce` have the same from PyTorch's operations, for every
device.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from likewise.collectives import shard_of
from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.devices import readable
from likewise.losses.fused.products import float32_products
from likewise.losses.fused.sought_keys import SoughtKeys
from likewise.losses.fused.tiling import MOST_COLUMNS, PROGRAMS, Tiles, filled, parts_of
from likewise.losses.input_checks import Kind
from likewise.losses.second_derivatives import refuse_second_derivatives

WIDE = 4
"""Bytes of a float32, as which every row is held."""

BLOCK, BLOCK_OF_BAGS = 1024, 128
"""Queries that the mean takes in at a time; fewer where each has the sums of a bag's elements too."""


def serves(queries: Tensor, keys: Tensor, pairs: SoughtKeys, temperature: float | Tensor) -> bool:
    """Whether these kernels can make the loss of rows [N, D] and [M, D]."""
    matrices = (queries, keys) if pairs.targets is None else (queries, keys, pairs.targets)
    if not all(isinstance(matrix, Tensor) and matrix.dim() == 2 for matrix in matrices):
        return False
    rows, columns = len(queries), len(keys)
    fits = keys.shape[1] == queries.shape[1] and 1 <= queries.shape[1] <= MOST_COLUMNS
    fits = fits and 1 <= rows * columns <= gpu_sizes.SOFT_TARGETS
    fits = fits and (pairs.targets is None or pairs.targets.shape == (rows, columns))
    for ids, count in ((pairs.query_id, rows), (pairs.key_id, columns), (pairs.self_index, rows)):
        fits = fits and (ids is None or _are_whole(ids, count, queries.device))
    return fits and readable(*matrices, temperature=temperature)


def is_divided(queries: Tensor, keys: Tensor) -> bool:
    """Whether the ranks are to divide rows [N, D] and [M, D] among them, for which there are no kernels here."""
    rows, columns = len(queries), len(keys)
    return shard_of(max(rows, columns)) is not None and rows * columns > gpu_sizes.WHOLE_PAIRS


def _are_whole(ids: Tensor, count: int, device: torch.device) -> bool:
    """Whether they are in the format that kernels read."""
    is_read = isinstance(ids, Tensor) and ids.dtype == torch.int64 and ids.device == device
    return is_read and ids.shape == (count,)


def soft_nce(
    queries: Tensor, keys: Tensor, targets: Tensor, temperature: float | Tensor
) -> Tensor | None:
    """With the gradients of ``queries``, ``keys`` and ``temperature``, as those below."""
    return _loss(queries, keys, SoughtKeys(targets), temperature)


def info_nce(
    queries: Tensor,
    keys: Tensor,
    query_id: Tensor,
    key_id: Tensor,
    temperature: float | Tensor,
    self_index: Tensor | None = None,
    kind: Kind = "out",
    reduction: Literal["valid", "all"] = "valid",
) -> Tensor | None:
    """The mean is over queries that have a positive, or over all."""
    if kind not in get_args(Kind) or query_id is None or key_id is None:
        return None
    if is_divided(queries, keys):
        return None
    pairs = SoughtKeys(None, query_id, key_id, self_index, kind)
    return _loss(queries, keys, pairs, temperature, reduction == "all")


def mil_nce(rows: Tensor, bags: Tensor, temperature: float | Tensor) -> Tensor | None:
    """Each row finds the elements of its bag."""
    elements = bags.flatten(0, 1)  # [N L, D]
    if len(rows) < 2 or is_divided(rows, elements):
        return None
    pairs = SoughtKeys(form="bags", sizes=(1, bags.shape[1]))
    return _loss(rows, elements, pairs, temperature)


def _loss(
    queries: Tensor,
    keys: Tensor,
    pairs: SoughtKeys,
    temperature: float | Tensor,
    by_all: bool = False,
) -> Tensor | None:
    if not serves(queries, keys, pairs, temperature):
        return None
    return _Soft.apply(queries, keys, temperature, by_all, *pairs)  # type: ignore[no-any-return]


class _Soft(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        temperature: float | Tensor,
        by_all: bool,
        *given: Any,
    ) -> Tensor:
        queries, keys = queries.contiguous(), keys.contiguous()
        targets, *ids, form, sizes = given
        ids = [None if each is None else each.contiguous() for each in ids]
        pairs = SoughtKeys(targets, *ids, form, sizes)
        rows, columns = len(queries), len(keys)
        has_bags = form == "bags"
        of_keys, key_splits = None, 0
        with torch.cuda.device_of(queries):
            parts = _parts(queries, keys, pairs, temperature, as_query=True)
            if has_bags:
                of_keys = _parts(keys, queries, pairs.turned(), temperature, as_query=False)
                key_splits = of_keys.shape[1]
            # The log-sums, the sums of the targets, and the targets' share of the scores.
            sums = parts.new_empty([3, rows])
            mean = parts.new_empty([2])  # the loss, and the weight of a query in it
            counts = rows, columns, parts.shape[1], key_splits, sizes[1]
            kernels("losses.fused.kernels.against_keys").mean_kernel[(1,)](
                *(parts, of_keys, pairs.self_index, sums, mean, *counts),
                **pairs.flags(),
                BLOCK=BLOCK_OF_BAGS if has_bags else BLOCK,
                BY_ALL=by_all,
            )
        ctx.learns = isinstance(temperature, Tensor)
        ctx.temperature = None if ctx.learns else temperature
        learned = temperature if ctx.learns else None
        ctx.form, ctx.sizes = form, sizes
        ctx.save_for_backward(queries, keys, sums, mean, learned, *pairs.tensors())
        return mean[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        queries, keys, sums, mean, learned, *given = ctx.saved_tensors
        pairs = SoughtKeys(*given, form=ctx.form, sizes=ctx.sizes)
        temperature = ctx.temperature if learned is None else learned
        wants_queries, wants_keys, wants_temperature, *others = ctx.needs_input_grad
        found = (sums, mean, gradients[0])
        of_queries = of_keys = of_temperature = None
        if wants_queries or wants_temperature:
            of_queries, by_temperature = _gradient(
                queries, keys, pairs, temperature, found, as_query=True
            )
            if wants_temperature and learned is not None:
                of_temperature = by_temperature.sum().reshape(learned.shape)
        if wants_keys:
            of_keys, _ = _gradient(
                keys, queries, pairs.turned(), temperature, found, as_query=False
            )
        return of_queries, of_keys, of_temperature, *(None for _ in others)


def _parts(
    outer: Tensor, inner: Tensor, pairs: SoughtKeys, temperature: float | Tensor, as_query: bool
) -> Tensor:
    """What `rows_kernel` finds of the queries, [3, splits, N]; of keys their log-sums alone, [1, splits, N].

    Args:
        outer: [N, D].
        inner: [M, D].
        pairs: of them.
        temperature: as given.
        as_query: whether the outer rows are the queries.
    """
    rows, width = outer.shape
    held, _ = parts_of(width)
    tiles = filled(_choice(FORWARD, outer), outer[:, :held], inner, PROGRAMS, WIDE)
    splits = tiles.splits or 1
    found = outer.new_empty([3 if as_query else 1, splits, rows], dtype=torch.float32)
    numbers = rows, len(inner), *pairs.strides()
    kernels("losses.fused.kernels.against_keys").rows_kernel[(blocks(rows, tiles.rows), splits)](
        *(outer, inner, *pairs.tensors(), temperature, found, *numbers),
        **_flags(outer, temperature, tiles),
        **pairs.flags(),
        AS_QUERY=as_query,
    )
    return found


def _gradient(
    outer: Tensor,
    inner: Tensor,
    pairs: SoughtKeys,
    temperature: float | Tensor,
    found: tuple[Tensor, ...],
    as_query: bool,
) -> tuple[Tensor, Tensor]:
    """The gradient of the outer rows, and what they add to that of the temperature.

    Args:
        outer: [N, D].
        inner: [M, D].
        pairs: of them.
        temperature: as given.
        found: the sums and the mean of the forward, and the gradient of the mean.
        as_query: whether the outer rows are the queries.
    """
    rows, width = outer.shape
    _, parts = parts_of(width)
    tiles = filled(_choice(BACKWARD, outer), outer, inner, PROGRAMS, WIDE, parts)
    splits = tiles.splits or 1
    dtype = outer.dtype if splits == 1 else torch.float32
    gradient = outer.new_empty([splits, rows, width], dtype=dtype)
    by_temperature = outer.new_empty([splits, parts, rows], dtype=torch.float32)
    numbers = rows, len(inner), *pairs.strides()
    gradient_kernel = kernels("losses.fused.kernels.against_keys").gradient_kernel
    with torch.cuda.device_of(outer):
        gradient_kernel[(blocks(rows, tiles.rows), splits, parts)](
            *(outer, inner, *pairs.tensors(), temperature, *found, gradient, by_temperature),
            *numbers,
            **_flags(outer, temperature, tiles),
            **pairs.flags(),
            AS_QUERY=as_query,
        )
    if splits == 1:
        return gradient[0], by_temperature
    return gradient.sum(dim=0).to(outer.dtype), by_temperature


def _flags(outer: Tensor, temperature: float | Tensor, tiles: Tiles) -> dict[str, Any]:
    """The constants of a kernel that meets rows with rows."""
    width = outer.shape[1]
    return {
        "D": width,
        "WIDTH": parts_of(width)[0],
        "ROWS": tiles.rows,
        "COLUMNS": tiles.columns,
        "LEARNED": isinstance(temperature, Tensor),
        "PRECISION": float32_products(),
        "num_warps": 4 if width <= 128 else 8,
        "num_stages": tiles.stages,
    }


FORWARD = Tiles(16, 64), Tiles(64, 64)
BACKWARD = Tiles(16, 32), Tiles(32, 32)
"""How the passes over scores are cut: small blocks, and those of many narrow rows, such as the elements of bags.

NO GPU HAS MEASURED THEM YET.
"""


def _choice(choices: tuple[Tiles, Tiles], outer: Tensor) -> Tiles:
    """One of them, for rows [N, D]."""
    count, width = outer.shape
    return choices[count > 2048 and width <= 128]
