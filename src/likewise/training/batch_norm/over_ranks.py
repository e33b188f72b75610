"""Batch normalisation with the statistics of the rows of all ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from likewise.collectives import gather, world_size


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
            replaced.num_features,
            replaced.eps,
            replaced.momentum,
            replaced.affine,
            replaced.track_running_stats,
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
        moments = torch.stack(torch.var_mean(values, dims, correction=0))  # [2, C]
        variances, means = gather(moments[None]).unbind(1)  # [W, C] each
        mean = means.mean(0)  # [C]
        # Not the mean of squares less the square of the mean, which float32 loses where the mean is large.
        variance = variances.mean(0) + (means - mean).square().mean(0)  # [C]
        if (
            self.running_mean is not None
            and self.running_var is not None
            and self.num_batches_tracked is not None
        ):
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
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and not isinstance(
            child, BatchNormOverRanks
        ):
            setattr(module, name, BatchNormOverRanks(child))
        else:
            synchronise_batch_norm(child)
    return module
