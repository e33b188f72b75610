"""The running statistics of batch normalisation, which a second pass over the same rows must not move again."""

from __future__ import annotations

from torch import Tensor, nn

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""PyTorch's names for them."""


def running_statistics(network: nn.Module) -> list[Tensor]:
    """The buffers that a pass moves: parts in eval mode, which are finished, stay as they are, to the bit."""
    buffers: list[Tensor] = []
    for module in network.modules():
        if module.training:
            own = module.named_buffers(recurse=False)
            buffers += [buffer for name, buffer in own if name in STATISTICS]
    return buffers
