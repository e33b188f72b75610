"""The order of an epoch for images that lie in shards: a few shards at a time, so that each is read once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from likewise.randomness import generator

SHUFFLE_BUFFER = 32_768
"""Images that are shuffled together where shards are remote and nothing else is said."""


class EpochOrder(NamedTuple):
    """The order of one epoch, in blocks of shards."""

    positions: Tensor
    """int64 [N], a permutation"""
    blocks: list[list[int]]
    """numbers of the shards whose images are shuffled together"""
    ends: np.ndarray
    """int64 [K]: where each of the K blocks ends in ``positions``"""


class ShardShuffle:
    """Permutations in which the shards are shuffled, and then the images of a few shards at a time.

    This is the shuffle of streams (WebDataset's and others') with its buffer filled by whole shards, so that an epoch
    shows every image once and any step can be found without those before it. Where the buffer holds all images, it is
    the uniform shuffle of `likewise.data.samplers.shuffled`.

    Args:
        shard_of: int64 [N], the number of each image's shard.
        buffer: how many images are shuffled together, at most; but always those of one shard.
        seed: which permutations.
        part: what else their randomness depends on.
    """

    def __init__(
        self, shard_of: np.ndarray, buffer: int, seed: int, part: tuple[int, ...] = ()
    ) -> None:
        self.seed, self.part = seed, part
        self.shards, self._shard_of = np.unique(shard_of, return_inverse=True)
        count = max(len(self.shards), 1)
        images_in_shard = max(len(shard_of) / count, 1)
        self.shards_at_a_time = int(np.clip(buffer // images_in_shard, 1, count))
        self._newest: dict[int, EpochOrder] = {}

    def __len__(self) -> int:
        return len(self._shard_of)

    def epoch(self, number: int) -> EpochOrder:
        """The order of an epoch; those of the newest two are kept."""
        if number not in self._newest:
            previous = dict(list(self._newest.items())[-1:])
            self._newest = {**previous, number: self._order_of(number)}
        return self._newest[number]

    def _order_of(self, epoch: int) -> EpochOrder:
        image_rng = generator(self.seed, "shuffled", epoch, *self.part)
        shard_rng = generator(self.seed, "shards", epoch, *self.part)
        shuffled = torch.randperm(len(self._shard_of), generator=image_rng).numpy()
        drawn = torch.randperm(len(self.shards), generator=shard_rng).numpy()
        block_of_shard = np.empty(len(drawn), np.int64)
        block_of_shard[drawn] = np.arange(len(drawn)) // self.shards_at_a_time
        block_of_image = block_of_shard[self._shard_of]  # [N]
        positions = shuffled[np.argsort(block_of_image[shuffled], kind="stable")]
        blocks = []
        for start in range(0, len(drawn), self.shards_at_a_time):
            block = drawn[start : start + self.shards_at_a_time]
            blocks.append(self.shards[block].tolist())
        return EpochOrder(
            torch.from_numpy(positions), blocks, np.cumsum(np.bincount(block_of_image))
        )
