"""Contrast with soft targets on a GPU, in two launches forward and one backward for each side that learns.

With s_ia = q_i . k_a / temperature and targets t_ia, whose sum over the keys is w_i::

    L_i  = log sum_a e^{s_ia}
    loss = 1/N sum_i ( w_i L_i - sum_a t_ia s_ia )

Its gradient by s_ia is (w_i e^{s_ia - L_i} - t_ia) / N; those of q_i and k_a are its sums with the other side's rows
over the temperature, and that of the temperature is the sum of -q_i . gradient_i / temperature. With ids instead of
targets t_ia is 1 / |P_i| for each positive, and N counts the queries that have one. Scores are made again in the
backward; nothing of N x M is stored but the targets. `distillation.soft_nce` and `contrastive.info_nce` have the same
from PyTorch's operations, for every device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from likewise.losses import gpu_sizes, tiles_triton
from likewise.losses.similarity_sums import refuse_second_derivatives
from likewise.losses.triton_launch import (
    MOST_COLUMNS,
    PROGRAMS,
    Tiles,
    blocks,
    filled,
    float32_products,
    kernels,
    parts_of,
)

WIDE = 4
"""Bytes of a float32, as which every row is held."""

BLOCK = 1024
"""Rows that the mean takes in at a time."""


class SoughtKeys(NamedTuple):
    """What each query is to find among the keys: given targets, or the keys of its id."""

    targets: Tensor | None
    """[N, M]"""
    query_id: Tensor | None = None
    """int64 [N]"""
    key_id: Tensor | None = None
    """int64 [M]"""
    self_index: Tensor | None = None
    """int64 [N], the key that a query is not compared with; -1 for none"""

    def turned(self) -> SoughtKeys:
        """With the keys outside."""
        targets = None if self.targets is None else self.targets.T
        return self._replace(targets=targets, query_id=self.key_id, key_id=self.query_id)

    def strides(self) -> tuple[int, ...]:
        """Of the targets."""
        return (0, 0) if self.targets is None else self.targets.stride()

    def flags(self) -> dict[str, bool]:
        """The kernels' constants."""
        return {"BY_ID": self.targets is None, "HAS_OWN": self.self_index is not None}


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
    if isinstance(temperature, Tensor):
        learned = (temperature,)
        fits = fits and temperature.numel() == 1
    else:
        learned = ()
        fits = fits and temperature > 0
    return fits and tiles_triton.readable(*matrices, *learned)


def _are_whole(ids: Tensor, count: int, device: torch.device) -> bool:
    """Whether they are in the format that kernels read."""
    is_read = isinstance(ids, Tensor) and ids.dtype == torch.int64 and ids.device == device
    return is_read and ids.shape == (count,)


def soft_loss(
    queries: Tensor,
    keys: Tensor,
    pairs: SoughtKeys,
    temperature: float | Tensor,
    by_all: bool = False,
) -> Tensor:
    """`distillation.soft_nce`, or `contrastive.info_nce` of the kind "out"; float32.

    Gradients of ``queries``, ``keys`` and ``temperature``. By ids the mean is over queries that have a positive, or
    ``by_all`` over all.
    """
    return _Soft.apply(queries, keys, temperature, by_all, *pairs)  # type: ignore[no-any-return]


class _Soft(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        queries: Tensor,
        keys: Tensor,
        temperature: float | Tensor,
        by_all: bool,
        *given: Tensor | None,
    ) -> Tensor:
        queries, keys = queries.contiguous(), keys.contiguous()
        targets, *ids = given
        pairs = SoughtKeys(targets, *(None if each is None else each.contiguous() for each in ids))
        rows, columns = len(queries), len(keys)
        held, _ = parts_of(queries.shape[1])
        tiles = filled(FORWARD, queries[:, :held], keys, PROGRAMS, WIDE)
        splits = tiles.splits or 1
        parts = queries.new_empty([3, splits, rows], dtype=torch.float32)
        sums = parts.new_empty([2, rows])  # the log-sums, and the sums of the targets
        mean = parts.new_empty([2])  # the loss, and the weight of a query in it
        numbers = rows, columns, *pairs.strides()
        made = kernels("triton_soft_kernels")
        with torch.cuda.device_of(queries):
            made.rows_kernel[(blocks(rows, tiles.rows), splits)](
                *(queries, keys, *pairs, temperature, parts, *numbers),
                **_flags(queries, temperature, tiles),
                **pairs.flags(),
            )
            made.mean_kernel[(1,)](
                *(parts, pairs.self_index, *sums, mean, rows, columns, splits),
                **pairs.flags(),
                BLOCK=BLOCK,
                BY_ALL=by_all,
            )
        ctx.learns = isinstance(temperature, Tensor)
        ctx.temperature = None if ctx.learns else temperature
        learned = temperature if ctx.learns else None
        ctx.save_for_backward(queries, keys, sums, mean, learned, *pairs)
        return mean[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        queries, keys, sums, mean, learned, *given = ctx.saved_tensors
        pairs = SoughtKeys(*given)
        temperature = ctx.temperature if learned is None else learned
        wants_queries, wants_keys, wants_temperature, *_ = ctx.needs_input_grad
        found = (*sums, mean, gradients[0])
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
        return of_queries, of_keys, of_temperature, None, None, None, None, None


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
    tiles = filled(BACKWARD, outer, inner, PROGRAMS, WIDE, parts)
    splits = tiles.splits or 1
    dtype = outer.dtype if splits == 1 else torch.float32
    gradient = outer.new_empty([splits, rows, width], dtype=dtype)
    by_temperature = outer.new_empty([splits, parts, rows], dtype=torch.float32)
    numbers = rows, len(inner), *pairs.strides()
    gradient_kernel = kernels("triton_soft_kernels").gradient_kernel
    with torch.cuda.device_of(outer):
        gradient_kernel[(blocks(rows, tiles.rows), splits, parts)](
            *(outer, inner, *pairs, temperature, *found, gradient, by_temperature, *numbers),
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


FORWARD, BACKWARD = Tiles(16, 64), Tiles(16, 32)
"""How the passes over scores are cut; NO GPU HAS MEASURED THEM YET."""
