"""A log-sum-exp that takes in one tile after another, without a temperature that is too small for it."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses.log_sums.sums import above_zero


class RunningSum:
    """A log-sum-exp over one tile after another, for one block of queries."""

    def __init__(self, queries: Tensor, mean_of: Tensor | None = None) -> None:
        self.top = queries.new_full((len(queries),), -torch.inf)
        self.total = torch.zeros_like(self.top)
        self.weighed = None
        if mean_of is not None:
            self.weighed = queries.new_zeros(len(queries), mean_of.shape[1])

    def add(self, scores: Tensor, keys: Tensor | None = None) -> None:
        """Take in a tile [n, m], which is altered on the way, and its keys [m, D] if their mean is wanted."""
        top = torch.maximum(self.top, scores.amax(dim=1))
        shift = torch.where(top == -torch.inf, 0, top)  # no key yet: -inf - -inf would be NaN
        fade = torch.exp(self.top - shift)
        weights = scores.sub_(shift[:, None]).exp_()
        self.top = top
        self.total.mul_(fade).add_(weights.sum(dim=1))
        if self.weighed is not None and keys is not None:
            self.weighed.mul_(fade[:, None]).addmm_(weights, keys)

    def log_sum(self) -> Tensor:
        """Of what was taken in, [n]; -inf of nothing."""
        return self.top + self.total.log()

    def mean(self) -> Tensor:
        """The keys' mean under the softmax, [n, D]."""
        assert self.weighed is not None
        return self.weighed / above_zero(self.total)[:, None]
