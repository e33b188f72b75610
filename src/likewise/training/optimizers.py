"""Optimisers from a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from likewise.methods.recipe import Recipe
from likewise.training.fully_sharded import is_cut

NO_SCALES: Mapping[str, float] = {}
"""Every parameter learns at the recipe's rate."""


def build_optimizer(
    recipe: Recipe, nets: nn.Module, batch_size: int, scales: Mapping[str, float] = NO_SCALES
) -> Optimizer:
    """The optimiser over everything that takes gradients.

    The layer-wise rate of lars is that of You et al. 2017, https://arxiv.org/abs/1708.03888, with the trust coefficient
    0.001. Biases and normalisation parameters have neither it nor weight decay, unless the recipe includes them.
    Parameters with a factor of the learning rate lie in groups of their own, under timm's name ``lr_scale``.

    Args:
        recipe: which optimiser, and its rates.
        nets: whose parameters learn.
        batch_size: images of an optimiser step.
        scales: factor of the learning rate of parameters that have one, by name.
    """
    groups = _groups(recipe, nets, scales)
    rate = recipe.peak_rate(batch_size)
    if recipe.optimizer == "sgd":
        # One kernel for all, CPU and GPU; PyTorch has none for parameters that are cut among ranks.
        fused = not any(is_cut(parameter) for parameter in nets.parameters())
        return SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused)
    if recipe.optimizer == "lars":
        from timm.optim.lars import Lars  # timm takes a second to import

        for group in groups[::2]:
            # Timm would adapt only what it decays, and so nothing without decay.
            group["always_adapt"] = True
        return Lars(groups, lr=rate, momentum=recipe.momentum)  # type: ignore[arg-type]  # timm types it as int
    return AdamW(groups, lr=rate, betas=(recipe.momentum, 0.999), fused=True)


def _groups(recipe: Recipe, nets: nn.Module, by_name: Mapping[str, float]) -> list[dict[str, Any]]:
    """Two groups, with weight decay and without, for each factor of the learning rate."""
    learned = [
        (name, parameter) for name, parameter in nets.named_parameters() if parameter.requires_grad
    ]
    scales = {name: by_name.get(name, 1.0) for name, _ in learned}
    groups: list[dict[str, Any]] = []
    for scale in sorted(set(scales.values()), reverse=True):
        decayed = [parameter for name, parameter in learned if scales[name] == scale]
        others: list[nn.Parameter] = []
        if recipe.exclude_bias_and_norm:
            others = [parameter for parameter in decayed if parameter.dim() <= 1]
            decayed = [parameter for parameter in decayed if parameter.dim() > 1]
        own = {} if scale == 1 else {"lr_scale": scale}
        groups.append({"params": decayed, "weight_decay": recipe.weight_decay, **own})
        groups.append({"params": others, "weight_decay": 0.0, **own})
    return groups
