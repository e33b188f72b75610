"""Which keys are positives of which queries, by their ids and without an [N, M] mask."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likewise.losses.input_checks import UNKNOWN
from likewise.losses.waiting import may_wait


class Positives(NamedTuple):
    """Of N queries among M keys."""

    query_class: Tensor
    """int64 [N], ids numbered from 0"""
    key_class: Tensor
    """int64 [M]"""
    classes: int
    """how many ids there are, or more"""
    self_is_positive: Tensor
    """bool [N], whether the key that is left out would be a positive"""
    num_positives: Tensor
    """int64 [N], positives of each query"""
    compared: Tensor
    """int64 [N], keys of each query"""

    @classmethod
    def of(cls, query_id: Tensor, key_id: Tensor, self_index: Tensor | None) -> Positives:
        """By ids [N] and [M], and the key that each query is not compared with, [N], -1 for none."""
        if query_id is key_id:
            query_class, classes = numbered(query_id)
            key_class = query_class
        else:
            both, classes = numbered(torch.cat([query_id, key_id]))
            query_class, key_class = both.split([len(query_id), len(key_id)])
        if self_index is None:
            self_index = torch.full_like(query_id, -1)
        leaves_out = self_index >= 0
        self_is_positive = leaves_out
        if len(key_id):
            own_class = key_class[self_index.clamp(min=0)]
            self_is_positive = leaves_out & (own_class == query_class)
        ones = torch.ones_like(key_class)
        size = key_class.new_zeros(classes).index_add(0, key_class, ones)
        num_positives = size[query_class] - self_is_positive.long()
        return cls(
            query_class,
            key_class,
            classes,
            self_is_positive,
            num_positives.masked_fill(query_id == UNKNOWN, 0),
            compared=len(key_id) - leaves_out.long(),
        )

    def summed(self, keys: Tensor) -> Tensor:
        """The sum of the keys of each id: [M, D] -> [classes, D]."""
        nothing = keys.new_zeros(self.classes, keys.shape[1])
        return nothing.index_add(0, self.key_class, keys)

    def share(self, like: Tensor) -> Tensor:
        """One over each query's number of positives, [N]; 0 where there are none."""
        count = self.num_positives.clamp(min=1).to(like.dtype)
        return torch.where(self.num_positives > 0, 1 / count, 0)


def numbered(ids: Tensor) -> tuple[Tensor, int]:
    """Ids [N] numbered from 0, and how many there are; where that would have to be waited for, N."""
    if may_wait(ids):
        found, number = ids.unique(return_inverse=True)
        return number, len(found)
    ordered, order = ids.sort()
    begins = torch.zeros_like(ids)  # 1 where another id begins
    begins[1:] = ordered[1:] != ordered[:-1]
    return torch.empty_like(ids).scatter_(0, order, begins.cumsum(0)), len(ids)
