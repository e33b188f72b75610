"""Collectives over ranks; no other file imports ``torch.distributed``. With one process every call is the identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from likewise.errors import LikewiseError, SaidByFirstRank

ResultT = TypeVar("ResultT")

# PyTorch 2.14 has renamed these two, and warns where the old names are used.
_all_gather: Any = getattr(dist, "all_gather_single", getattr(dist, "all_gather_into_tensor", None))
_reduce_scatter: Any = getattr(dist, "reduce_scatter_single", getattr(dist, "reduce_scatter_tensor", None))

_alone = False
"""Whether this process computes without the others for now."""


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
        # Every rank computes the whole loss, so the sum over ranks has each gradient world_size times; the mean over
        # ranks that data-parallel training takes divides by world_size again.
        (gathered,) = gradients
        local = gathered.new_empty(len(gathered) // world_size(), *gathered.shape[1:])
        _reduce_scatter(local, gathered.contiguous())  # half the bytes of an all-reduce and a slice
        return local


def gather(local: Tensor) -> Tensor:
    """Rows [B, ...] of every rank, in rank order: [world_size * B, ...]. Gradients flow back to each rank's rows.

    Where every rank computes the same loss over the gathered rows, the mean over ranks that data-parallel training
    takes gives exactly the gradient of one process with the whole batch. Every rank must have the same number of rows.
    """
    if world_size() == 1:
        return local
    return _Gather.apply(local)  # type: ignore[no-any-return]


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


class BatchNormOverRanks(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation with the statistics of the global batch, on any device.

    ``torch.nn.SyncBatchNorm`` does the same on GPUs only; this one runs on CPU ranks too, so that training on N
    processes can be tested to equal training on one.

    ``drop`` and ``act`` follow the normalisation: timm's ``BatchNormAct2d`` has both inside.
    """

    drop: nn.Module
    act: nn.Module

    def __init__(self, replaced: nn.modules.batchnorm._BatchNorm) -> None:
        super().__init__(
            replaced.num_features, replaced.eps, replaced.momentum, replaced.affine, replaced.track_running_stats
        )
        self.drop = getattr(replaced, "drop", nn.Identity())
        self.act = getattr(replaced, "act", nn.Identity())
        self.load_state_dict(replaced.state_dict())
        self.train(replaced.training)
        for new, old in zip(self.parameters(), replaced.parameters(), strict=True):
            new.requires_grad_(old.requires_grad)

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation needs [B, C, ...], got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, ...] -> the same shape, normalised per channel over the batches of all ranks."""
        return self.act(self.drop(self._normalised(input)))

    def _normalised(self, input: Tensor) -> Tensor:
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        dims = [0, *range(2, input.dim())]
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        moments = torch.stack([values.mean(dims), values.square().mean(dims)])  # [2, C]
        mean, square = gather(moments[None]).mean(0)  # [C] each, over all ranks
        variance = square - mean.square()
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            count = world_size() * input.numel() / input.shape[1]
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), momentum)
        shape = [1, -1] + [1] * (input.dim() - 2)
        normalised = (values - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)


def synchronise_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch normalisation by one over all ranks, in place, with its weights and running statistics."""
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, BatchNormOverRanks):
            setattr(module, name, BatchNormOverRanks(child))
        else:
            synchronise_batch_norm(child)
    return module
