"""Batch normalisation of a map in training mode, then perhaps the sum with a residual map and ReLU, by GPU kernels.

PyTorch's layers pass over a map 13 times where a convolution, this layer and ReLU follow each other: forward 3 and 2
for the ReLU, backward 5 and 3. The kernels pass 8 times, forward 3 and backward 5, since they do the ReLU on the way.
`plain` is the definition.

Ioffe & Szegedy 2015, Batch Normalization, https://arxiv.org/abs/1502.03167, algorithm 1 and the gradient of section 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from likewise.losses.fused.devices import FORMATS, run_on
from likewise.training.batch_norm import launches
from likewise.training.batch_norm.launches import Tiling


def plain(norm: nn.Module, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
    """What is computed, by PyTorch's operations."""
    y = norm(x)
    if residual is not None:
        y = y + residual
    return functional.relu(y) if relu else y


def fused(
    norm: nn.BatchNorm2d,
    x: Tensor,
    residual: Tensor | None = None,
    relu: bool = False,
    tiling: Tiling | None = None,
) -> Tensor:
    """What `plain` gives to rounding, where `serves` says that the kernels take it. Sums are in float32.

    Args:
        norm: the layer, whose running statistics take in those of the map.
        x: [N, C, H, W], channels last.
        residual: like ``x``; ReLU follows the sum.
        relu: whether ReLU follows.
        tiling: how the kernels cut the map.
    """
    relu = relu or residual is not None
    y = _BatchNorm.apply(x, norm.weight, norm.bias, residual, norm, relu, tiling or Tiling())
    for buffer in (norm.running_mean, norm.running_var, norm.num_batches_tracked):
        assert buffer is not None
        torch.autograd.graph.increment_version(buffer)
    return y  # type: ignore[no-any-return]


def serves(norm: nn.BatchNorm2d, x: Tensor, residual: Tensor | None = None) -> bool:
    """Whether the kernels take a layer and a map; what they do not take is PyTorch's."""
    # A compiler fuses PyTorch's operations, and a trace holds no others.
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return False
    if not norm.training or not run_on(x.device):
        return False
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None or norm.momentum is None:
        return False
    if norm.weight is None or norm.bias is None:
        return False
    tensors = norm.weight, norm.bias, mean, variance
    if any(each.dtype != torch.float32 or each.device != x.device for each in tensors):
        return False
    several = x.dim() == 4 and x.numel() > x.shape[1] == len(norm.weight)
    if not several or not _readable(x):
        return False
    if residual is None:
        return True
    same = residual.dtype == x.dtype and residual.device == x.device and residual.shape == x.shape
    return same and _readable(residual)


def _readable(x: Tensor) -> bool:
    return x.dtype in FORMATS and x.is_contiguous(memory_format=torch.channels_last)


class _BatchNorm(torch.autograd.Function):
    """The kernels, and the gradient of the gradient by PyTorch's operations."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        residual: Tensor | None,
        norm: nn.BatchNorm2d,
        relu: bool,
        tiling: Tiling,
    ) -> Tensor:
        y, table = launches.forward(x, norm, residual, relu, tiling)
        ctx.relu, ctx.tiling, ctx.eps = relu, tiling, norm.eps
        # Without a residual the sign is made again from x.
        ctx.save_for_backward(x, weight, bias, None if residual is None else y, table)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        x, weight, bias, y, table = ctx.saved_tensors
        grad = gradients[0].contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled():  # as it is under create_graph
            return (*_differentiable(grad, x, weight, bias, y, ctx), None, None, None)
        wants = ctx.needs_input_grad
        of = launches.backward(grad, x, y, table, ctx.relu, wants[0], ctx.tiling)
        return of.x, of.weight, of.bias, of.residual, None, None, None


def _differentiable(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor, y: Tensor | None, ctx: Any
) -> list[Tensor | None]:
    """Gradients of x, weight, bias and residual that can be differentiated again."""
    normalised = functional.batch_norm(x, None, None, weight, bias, True, 0.0, ctx.eps)
    if ctx.relu:
        grad = grad * ~((normalised if y is None else y) <= 0)
    inputs = x, weight, bias
    wanted = [each for each in inputs if each.requires_grad]
    found = iter(torch.autograd.grad(normalised, wanted, grad, create_graph=True) if wanted else ())
    of_inputs = [next(found) if each.requires_grad else None for each in inputs]
    return [*of_inputs, grad if y is not None else None]
