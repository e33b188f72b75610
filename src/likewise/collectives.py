"""Talk between ranks: the only file that imports ``torch.distributed``. On one process every call is the identity."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

_alone = False
"""Whether this process computes without the others for now."""


def world_size() -> int:
    """How many processes train together."""
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
    """Our place among them."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        everyone = mine.new_empty(world_size() * len(mine), *mine.shape[1:])
        dist.all_gather_into_tensor(everyone, mine.contiguous())
        return everyone

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every rank computes the whole loss, so the sum over ranks holds each gradient world_size times; the mean
        # that data-parallel training takes over ranks brings it back to once.
        (everyone,) = gradients
        mine = everyone.new_empty(len(everyone) // world_size(), *everyone.shape[1:])
        dist.reduce_scatter_tensor(mine, everyone.contiguous())  # half the bytes of summing all and keeping a slice
        return mine


def gather(mine: Tensor) -> Tensor:
    """Rows [B, ...] of every rank, in rank order: [world_size * B, ...]. Gradients flow back to their owners.

    A loss over gathered rows, computed alike on every rank, has after the mean of data-parallel training exactly
    the gradient of one process that holds the whole batch. Every rank must hold the same number of rows.
    """
    if world_size() == 1:
        return mine
    return _Gather.apply(mine)  # type: ignore[no-any-return]


def mean_over_ranks(value: Tensor) -> Tensor:
    """The mean of a detached value over ranks."""
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


def min_over_ranks(number: int, device: torch.device) -> int:
    """The least of a number over ranks."""
    if world_size() == 1:
        return number
    return int(gather(torch.tensor([number], device=device)).min())


class BatchNormOverRanks(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation with the statistics of the global batch, on any device.

    ``torch.nn.SyncBatchNorm`` does the same on GPUs only; this one runs on CPU ranks too, so that training on N
    processes is provably training on one.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation needs [B, C, ...], got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        """[B, C, ...] -> the same shape, normalised per channel over the batches of all ranks."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        over = [0, *range(2, input.dim())]
        wide = input.to(torch.promote_types(input.dtype, torch.float32))
        moments = torch.stack([wide.mean(over), wide.square().mean(over)])
        mean, square = gather(moments[None]).mean(0)
        variance = square - mean.square()
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            count = world_size() * input.numel() / input.shape[1]
            momentum = 0.1 if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), momentum)
        shape = [1, -1] + [1] * (input.dim() - 2)
        normal = (wide - mean.view(shape)) * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(input.dtype)


def synchronise_batch_norm(module: nn.Module) -> nn.Module:
    """Replace every batch normalisation by one over all ranks, weights and running statistics kept; in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(child, BatchNormOverRanks):
            wide = BatchNormOverRanks(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            wide.load_state_dict(child.state_dict())
            wide.train(child.training)
            for mine, theirs in zip(wide.parameters(), child.parameters(), strict=True):
                mine.requires_grad_(theirs.requires_grad)
            setattr(module, name, wide)
        else:
            synchronise_batch_norm(child)
    return module
