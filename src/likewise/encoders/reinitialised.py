"""A user's module with new random weights."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def reinitialised(module: nn.Module) -> nn.Module:
    """A copy with new random weights: the untrained baseline of a user's module.

    Every submodule that has ``reset_parameters`` resets itself. Parameters that this leaves alone, as it does those of
    ``torch.nn.utils.weight_norm``, and those of other submodules are drawn anew from a normal distribution with the
    mean and the standard deviation that they have.
    """
    network = copy.deepcopy(module)
    for part in network.modules():
        own = {name: each.detach().clone() for name, each in part.named_parameters(recurse=False)}
        reset = getattr(part, "reset_parameters", None) or getattr(part, "_reset_parameters", None)
        if callable(reset):
            _reset(part, reset)
        for name, parameter in part.named_parameters(recurse=False):
            if not callable(reset) or bool(parameter.isnan().any()):
                _draw_like(parameter, own[name])
    return network


@torch.no_grad()
def _reset(part: nn.Module, reset: Callable[[], object]) -> None:
    """Reset a module's own parameters; those that it leaves alone are NaN then."""
    for parameter in part.parameters(recurse=False):
        if parameter.is_floating_point() or parameter.is_complex():
            parameter.fill_(torch.nan)
    reset()


@torch.no_grad()
def _draw_like(parameter: Tensor, values: Tensor) -> None:
    """Numbers from a normal distribution of the values' mean and standard deviation; a constant stays."""
    parameter.copy_(values)
    numbers = torch.view_as_real(parameter) if parameter.is_complex() else parameter
    std = float(numbers.std(correction=0))
    if std > 0:
        nn.init.normal_(numbers, float(numbers.mean()), std)
