"""How a method's paper trains it, where the reader of the paper would look for it: next to the method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

REFERENCE_BATCH = 256
"""The batch size for which recipes state their rates."""


@dataclass(frozen=True)
class Recipe:
    """Optimiser and schedule. Every field can be changed from the command line: ``--recipe.learning-rate 0.1``."""

    optimizer: Literal["sgd", "lars", "adamw"] = "sgd"
    """sgd; lars: layer-wise rates for large batches (You et al. 2017); adamw: transformers, short runs"""
    learning_rate: float = 0.06
    """for a batch of 256: multiplied by batch / 256 for sgd and lars, by its square root for adamw"""
    momentum: float = 0.9
    """of sgd and lars; of adamw the share of the mean gradient that stays (beta 1)"""
    nesterov: bool = False
    """whether sgd's momentum is Nesterov's, as in the code of FixMatch"""
    weight_decay: float = 1e-4
    """on weights; on biases and normalisation parameters too where they are not excluded"""
    warm_up: float = 0.05
    """share of the steps over which the rate rises, at most ten epochs"""
    schedule: Literal["cosine", "fixmatch", "constant"] = "cosine"
    """the rate after the warm-up: cosine falls to 0 at the last step, fixmatch by cos(7/16 pi t) to a fifth, constant
    stays. A finished run that is extended (--resume --steps MORE) equals a longer run only where both have the same
    rates so far: constant without warm-up"""
    start_factor: float = 0.0
    """the rate at which the warm-up starts, as a share of the highest"""
    end_factor: float = 0.0
    """the rate at which the cosine ends, as a share of the highest"""
    exclude_bias_and_norm: bool = True
    """whether biases and normalisation parameters are left out of weight decay and of lars's layer-wise rates, as in
    the code of SimCLR and BYOL; the code of SwAV, MoCo and SupCon treats all parameters equally"""

    def peak_rate(self, batch_size: int) -> float:
        """The highest learning rate: linear in the batch size for sgd and lars, in its square root for adamw."""
        scale = batch_size / REFERENCE_BATCH
        return self.learning_rate * (math.sqrt(scale) if self.optimizer == "adamw" else scale)

    def rate_at(self, step: int, steps: int, steps_per_epoch: int, batch_size: int) -> float:
        """The learning rate of a step: a linear warm-up, then a cosine or the highest rate throughout.

        The cosine is that of Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts;
        FixMatch's is in Sec. 2.4 of Sohn et al. 2020, https://arxiv.org/abs/2001.07685. The warm-up takes the recipe's
        share of the run, at most ten epochs, and never the whole run.

        Args:
            step: counted from 0, in optimiser steps.
            steps: optimiser steps of the run.
            steps_per_epoch: optimiser steps of one pass over the training images.
            batch_size: images whose gradients make one optimiser step.
        """
        peak = self.peak_rate(batch_size)
        warm_up = min(round(self.warm_up * steps), 10 * steps_per_epoch, steps - 1)
        if step < warm_up:
            risen = (step + 1) / (warm_up + 1)
            return peak * (self.start_factor + (1 - self.start_factor) * risen)
        if self.schedule == "constant":
            return peak
        done = (step - warm_up) / max(steps - warm_up, 1)
        if self.schedule == "fixmatch":
            return peak * math.cos(7 / 16 * math.pi * done)
        cosine = (1 + math.cos(math.pi * done)) / 2
        return peak * (self.end_factor + (1 - self.end_factor) * cosine)
