"""A warning where rows that want a gradient stand in a place of a loss that gives none."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

# This function, the check of shapes and forward, and two calls of nn.Module are below the line that called the loss.
_CALLER = 6


def warn_of_lost_gradients(criterion: nn.Module, **constants: Tensor) -> None:
    """Tell of tensors that require a gradient, though the loss takes them as constants.

    Args:
        criterion: the loss, for its name.
        constants: the tensors by the names of their arguments.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return
    for name, tensor in constants.items():
        if tensor.requires_grad:
            warnings.warn(
                f"{type(criterion).__name__} gives no gradient to {name}, which requires one. If that is meant, give "
                f"{name}.detach(). To train these rows too, take likewise.losses.info_nce or NTXentLoss.",
                stacklevel=_CALLER,
            )
