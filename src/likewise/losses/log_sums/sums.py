"""What the sums of exponentials are, which every form of them makes; `dense` has them without tiles.

For queries q_i and keys k_a (temperatures already divided in), with self_i the key that i is never compared with::

    all_i       = log sum_{a != self_i} e^{s_ia},             s_ia = q_i . k_a
    positives_i = log sum_{a != self_i, id_a = id_i} e^{s_ia}

The derivative of all_i by s_ia is the softmax p_ia = e^{s_ia - all_i}. With g_i the gradient of all_i,
query i gets  g_i sum_a p_ia k_a  and key a gets  sum_i g_i p_ia q_i.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

LARGEST_SCORE = 60.0
"""Scores of at most this size need no shift: e^60 times ten million keys is a float32, and so is one over it."""


class Sums(NamedTuple):
    """What each query's exponentials sum to, as logarithms."""

    all_logsumexp: Tensor
    """[N] over the keys that it is compared with; -inf if there are none"""
    positives_logsumexp: Tensor | None
    """[N] over those of its own id; -inf if there are none; None if no ids were given"""
    cached: Tensor | None = None
    """[N, M] exponentials, where the backward need not make them again"""
    cached_positives: Tensor | None = None
    """[N, M] likewise, 0 where ids differ"""


class SumGradients(NamedTuple):
    """Those of a loss by `Sums`."""

    of_all: Tensor
    """[N]"""
    of_positives: Tensor | None
    """[N]; None if no ids were given"""


SumsAndGradients = tuple[Sums, SumGradients]


class Pairs(NamedTuple):
    """The pairs that are left out and those that are positives."""

    self_index: Tensor | None = None
    """int64 [N], the key that a query is not compared with; -1 for none"""
    query_id: Tensor | None = None
    """int64 [N], not descending"""
    key_id: Tensor | None = None
    """int64 [M], not descending"""

    def same_id(self) -> Tensor | None:
        """Bool [N, M], which query and key have one id; None without ids."""
        if self.query_id is None or self.key_id is None:
            return None
        return self.query_id[:, None] == self.key_id


class Form(Protocol):
    """The functions of each file that makes the sums, to which the type checker holds them all."""

    def forward(self, queries: Tensor, keys: Tensor, pairs: Pairs) -> Sums:
        """The sums of queries [N, D] over keys [M, D]."""
        ...

    def backward(
        self, queries: Tensor, keys: Tensor, pairs: Pairs, sums: Sums, grads: SumGradients
    ) -> tuple[Tensor | None, Tensor | None]:
        """Gradients of queries [N, D] and keys [M, D]."""
        ...

    def forward_fixed(
        self, queries: Tensor, keys: Tensor, self_index: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The sums over keys that get no gradient, [N], and the mean key under each query's softmax, [N, D]."""
        ...

    def forward_square(self, z: Tensor, ids: Tensor | None, count: int) -> Sums:
        """The sums of each of the first ``count`` rows of [N, D] over all others."""
        ...

    def backward_square(
        self, z: Tensor, ids: Tensor | None, sums: Sums, grads: SumGradients, count: int
    ) -> Tensor:
        """The gradient [count, D] of rows that are queries and keys at once; sums and gradients are of all rows."""
        ...


def bounded(queries: Tensor, keys: Tensor) -> bool:
    """Whether every score is small enough to be exponentiated as it is; NaN is not."""
    return bool(_longest(queries) * _longest(keys) <= LARGEST_SCORE)


def _longest(rows: Tensor) -> Tensor:
    """The greatest length of a row of [N, D]."""
    if len(rows) == 0:
        return rows.new_zeros(())
    return torch.linalg.vector_norm(rows, dim=1).max()


def over_sum(gradient: Tensor, log_sum: Tensor) -> Tensor:
    """The gradient of a log-sum over its sum, by which each exponential counts; 0 where the sum is empty."""
    return gradient * torch.exp(-never_reached(log_sum))


def above_zero(sums: Tensor) -> Tensor:
    """Sums by which one may divide: an empty one, of which nothing is a share, becomes tiny."""
    return sums.clamp_min(torch.finfo(sums.dtype).tiny)


def never_reached(log_sums: Tensor) -> Tensor:
    """An empty sum has no terms, so nothing may be divided by it: e^(score - inf) = 0."""
    return torch.where(log_sums == -torch.inf, torch.inf, log_sums)
