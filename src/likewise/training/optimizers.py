"""Optimisers from a recipe, and the rate as a function of the step alone."""

from __future__ import annotations

import math
from typing import Any

from timm.optim.lars import Lars
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from likewise.methods.recipe import Recipe

REFERENCE_BATCH = 256
"""The batch size for which recipes state their rates."""


def build_optimizer(recipe: Recipe, nets: nn.Module, batch_size: int) -> Optimizer:
    """The optimiser over everything that takes gradients.

    Biases and normalisation parameters get no weight decay and, under lars, no layer-wise rate, as in SimCLR's and
    BYOL's code (You et al. 2017, https://arxiv.org/abs/1708.03888, gives the rate: trust coefficient 0.001).
    """
    learned = [p for p in nets.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in learned if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in learned if p.dim() <= 1], "weight_decay": 0.0},
    ]
    rate = peak_rate(recipe, batch_size)
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=recipe.momentum, fused=True)  # one kernel for all, CPU and GPU
    if recipe.optimizer == "lars":
        groups[0]["always_adapt"] = True  # timm would adapt only what it decays, and so nothing without decay
        return Lars(groups, lr=rate, momentum=recipe.momentum)  # type: ignore[arg-type]  # timm types it as int
    return AdamW(groups, lr=rate, betas=(recipe.momentum, 0.999), fused=True)


def peak_rate(recipe: Recipe, batch_size: int) -> float:
    """The recipe's rate at this batch size: linear in it for sgd and lars, by its root for adamw."""
    scale = batch_size / REFERENCE_BATCH
    return recipe.learning_rate * (math.sqrt(scale) if recipe.optimizer == "adamw" else scale)


def rate_at(recipe: Recipe, step: int, steps: int, steps_per_epoch: int, batch_size: int) -> float:
    """The rate of a step: a linear warm-up, then a cosine to 0 (Loshchilov & Hutter 2017, without restarts).

    The warm-up takes the recipe's share of the run, at most ten epochs, and never the whole run.
    """
    peak = peak_rate(recipe, batch_size)
    warm_up = min(round(recipe.warm_up * steps), 10 * steps_per_epoch, steps - 1)
    if step < warm_up:
        return peak * (step + 1) / (warm_up + 1)
    return peak * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1))) / 2
