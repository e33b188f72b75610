"""Collectives over ranks; all files use them but `training.fully_sharded`. With one process all are identities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from likewise.errors import LikewiseError, SaidByFirstRank

ResultT = TypeVar("ResultT")

# PyTorch 2.14 has renamed these two, and warns where the old names are used.
_all_gather: Any = getattr(dist, "all_gather_single", getattr(dist, "all_gather_into_tensor", None))
_reduce_scatter: Any = getattr(
    dist, "reduce_scatter_single", getattr(dist, "reduce_scatter_tensor", None)
)

_alone = False
"""Whether this process computes without the others for now."""

_sharded = False
"""Whether what losses get is the same on every rank, so that they may divide their rows among the ranks."""


def world_size() -> int:
    """Number of processes that train together."""
    if _alone or not (dist.is_available() and dist.is_initialized()):
        return 1
    return dist.get_world_size()


@contextmanager
def alone() -> Iterator[None]:
    """While the context is open, this process waits for no other: all collectives are the identity."""
    global _alone
    _alone = True
    try:
        yield
    finally:
        _alone = False


def rank() -> int:
    """The index of this process, 0 to world_size - 1."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        gathered = local.new_empty(world_size() * len(local), *local.shape[1:])
        _all_gather(gathered, local.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # The mean over ranks of what they found is the gradient of the gathered rows, so the sum over ranks has it
        # world_size times; the mean over ranks that data-parallel training takes divides by world_size again.
        (gathered,) = gradients
        local = gathered.new_empty(len(gathered) // world_size(), *gathered.shape[1:])
        _reduce_scatter(local, gathered.contiguous())  # half the bytes of an all-reduce and a slice
        return local


class _GatherUneven(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        padded = local.new_zeros(max(counts), *local.shape[1:])
        padded[: len(local)] = local
        gathered = local.new_empty(len(counts), *padded.shape)
        _all_gather(gathered.flatten(0, 1), padded)
        return torch.cat([rows[:count] for rows, count in zip(gathered, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total.split(ctx.counts)[rank()], None


def gather(local: Tensor) -> Tensor:
    """Rows [B, ...] of every rank, in rank order: [world_size * B, ...]. Gradients flow back to each rank's rows.

    Every rank must have the same number of rows. Gradients of gathered rows are parts of the whole: their mean over
    ranks is the gradient of one process with the whole batch. So each rank may compute the whole loss, or, times
    world_size, only the terms of its own rows (see `sharded_rows`); the mean over ranks that data-parallel training
    takes gives the same.
    """
    if world_size() == 1:
        return local
    return _Gather.apply(local)  # type: ignore[no-any-return]


def gather_uneven(local: Tensor) -> Tensor:
    """`gather` where ranks may differ in their number of rows, as in a last batch; one collective more."""
    if world_size() == 1:
        return local
    counts = local.new_empty(world_size(), dtype=torch.int64)
    _all_gather(counts, counts.new_tensor([len(local)]))
    return _GatherUneven.apply(local, counts.tolist())  # type: ignore[no-any-return]


@contextmanager
def sharded_rows() -> Iterator[None]:
    """While the context is open, losses divide the rows of their similarities among the ranks.

    Everything that a loss gets meanwhile must be the same on every rank: gathered rows, queues, parameters. Each rank
    then computes W-th of the rows against all columns, and the results, a number a row, are gathered. The loss has the
    same value on each rank; the gradients are those terms of it that the rank's own rows have, times W, so that
    `gather` and data-parallel training make the gradient of one process of them.
    """
    global _sharded
    before, _sharded = _sharded, True
    try:
        yield
    finally:
        _sharded = before


@dataclass(frozen=True)
class RowShard:
    """The consecutive rows, of those that every rank holds, that this rank computes."""

    start: int
    count: int
    rows: int
    """of all ranks"""
    most: int
    """that any rank computes"""

    @property
    def own(self) -> slice:
        """This rank's rows."""
        return slice(self.start, self.start + self.count)

    def join(self, values: Tensor) -> Tensor:
        """Values of this rank's rows [count, ...] to those of all rows [rows, ...], with their gradient."""
        return _Join.apply(values, self)  # type: ignore[no-any-return]


def shard_of(rows: int) -> RowShard | None:
    """This rank's part of so many rows; None where one process computes them all."""
    ranks = world_size()
    if not _sharded or ranks == 1 or rows < ranks:
        return None
    least, longer = divmod(rows, ranks)  # the first ranks compute one row more
    at = rank()
    return RowShard(at * least + min(at, longer), least + (at < longer), rows, least + (longer > 0))


def summed_over_ranks(term: Tensor) -> Tensor:
    """A loss, of which every rank has a term, inside `sharded_rows`: the sum, with the gradient of the own term."""
    return RowShard(rank(), 1, world_size(), 1).join(term[None]).sum()


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, shard: RowShard) -> Tensor:
        ctx.shard, ctx.ranks = shard, world_size()
        return _joined(values, shard)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][ctx.shard.own] * ctx.ranks, None


def _joined(values: Tensor, shard: RowShard) -> Tensor:
    """Values of all rows in order; ranks with a row fewer send one more, which is cut off."""
    ranks, longer = world_size(), shard.rows % world_size()
    sent = values.contiguous()
    if shard.count < shard.most:
        sent = torch.cat([sent, sent[:1]])
    gathered = sent.new_empty(ranks, shard.most, *sent.shape[1:])
    _all_gather(gathered.flatten(0, 1), sent)
    if longer == 0:
        return gathered.flatten(0, 1)
    return torch.cat([gathered[:longer].flatten(0, 1), gathered[longer:, :-1].flatten(0, 1)])


def over_ranks(
    function: Callable[..., Tensor], rows: Sequence[Tensor | None], *shared: Any
) -> Tensor:
    """A function whose results depend on one row each: ``function(*rows, *shared)``, every rank computing its shard.

    Args:
        function: takes rows [n, ...] and whatever they share, and gives [n, ...].
        rows: [N, ...] each, the same on every rank; or None.
        *shared: passed on as it is.

    Returns:
        [N, ...], on every rank. Outside `sharded_rows` the function is simply called.
    """
    first = rows[0]
    assert first is not None
    shard = shard_of(len(first))
    if shard is None:
        return function(*rows, *shared)
    own = [None if row is None else row[shard.own] for row in rows]
    with whole_rows():
        found = function(*own, *shared)
    return shard.join(found)


@contextmanager
def whole_rows() -> Iterator[None]:
    """While the context is open, what a loss gets is this rank's own, and divided no further."""
    global _sharded
    before, _sharded = _sharded, False
    try:
        yield
    finally:
        _sharded = before


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a value over ranks, without gradient."""
    if world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def any_over_ranks(flag: bool, device: torch.device) -> bool:
    """Whether a flag is set on any rank; every rank must ask."""
    if world_size() == 1:
        return flag
    return bool(mean_over_ranks(torch.tensor(float(flag), device=device)) > 0)


def merged_over_ranks(entries: dict[str, str]) -> dict[str, str]:
    """The entries of every rank in one dictionary, the same on all; every rank must ask."""
    if world_size() == 1:
        return entries
    merged: dict[str, str] = {}
    for of_rank in gathered_objects(entries):
        merged |= of_rank
    return merged


def gathered_objects(value: Any) -> list[Any]:
    """An object of every rank, in rank order; every rank must ask."""
    if world_size() == 1:
        return [value]
    by_rank: list[Any] = [None] * world_size()
    dist.all_gather_object(by_rank, value)
    return by_rank


def is_connection_error(error: BaseException) -> bool:
    """Whether a collective failed because another process does not answer."""
    kinds = tuple(getattr(dist, name) for name in ("DistError",) if hasattr(dist, name))
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def on_first_rank(call: Callable[[], ResultT]) -> ResultT:
    """The result of a call that the first process makes, in every process; every rank must ask.

    Raises:
        LikewiseError: the call raised it, in the first process.
        SaidByFirstRank: the call raised a `LikewiseError`, in the others, so that no process waits for one that ended.
    """
    if world_size() == 1:
        return call()
    outcome: list[Any] = [None, None]  # what the call returned, and the exit code of its error
    raised: LikewiseError | None = None
    if rank() == 0:
        try:
            outcome[0] = call()
        except LikewiseError as error:
            outcome[1], raised = error.exit_code, error
    dist.broadcast_object_list(outcome)
    if raised is not None:
        raise raised
    if outcome[1] is not None:
        raise SaidByFirstRank(outcome[1])
    return outcome[0]


def min_over_ranks(number: int, device: torch.device) -> int:
    """The least of a number over ranks."""
    if world_size() == 1:
        return number
    return int(gather(torch.tensor([number], device=device)).min())
