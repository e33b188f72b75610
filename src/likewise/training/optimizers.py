"""Optimisers from a recipe."""

from __future__ import annotations

from typing import Any

from timm.optim.lars import Lars
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from likewise.methods.recipe import Recipe


def build_optimizer(recipe: Recipe, nets: nn.Module, batch_size: int) -> Optimizer:
    """The optimiser over everything that takes gradients.

    The layer-wise rate of lars is that of You et al. 2017, https://arxiv.org/abs/1708.03888, with the trust coefficient
    0.001. Biases and normalisation parameters have neither it nor weight decay, unless the recipe includes them.
    """
    learned = [p for p in nets.parameters() if p.requires_grad]
    decayed, others = learned, []
    if recipe.exclude_bias_and_norm:
        decayed = [p for p in learned if p.dim() > 1]
        others = [p for p in learned if p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    rate = recipe.peak_rate(batch_size)
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=recipe.momentum, fused=True)  # one kernel for all, CPU and GPU
    if recipe.optimizer == "lars":
        groups[0]["always_adapt"] = True  # timm would adapt only what it decays, and so nothing without decay
        return Lars(groups, lr=rate, momentum=recipe.momentum)  # type: ignore[arg-type]  # timm types it as int
    return AdamW(groups, lr=rate, betas=(recipe.momentum, 0.999), fused=True)
