"""How a method's paper trains it, where the reader of the paper would look for it: beside the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """Optimiser and schedule. Every field can be changed from the command line: ``--recipe.learning-rate 0.1``."""

    optimizer: Literal["sgd", "lars", "adamw"] = "sgd"
    """sgd: Nesterov off; lars: layer-wise rates for large batches (You et al. 2017); adamw: transformers, short runs"""
    learning_rate: float = 0.06
    """for a batch of 256: multiplied by batch / 256 for sgd and lars, by its square root for adamw"""
    momentum: float = 0.9
    """of sgd and lars; of adamw the share of the mean gradient that stays (beta 1)"""
    weight_decay: float = 1e-4
    """on weights; biases and batch-norm parameters are left out"""
    warm_up: float = 0.05
    """share of the steps over which the rate rises from 0, at most ten epochs; then it falls to 0 by a cosine"""
