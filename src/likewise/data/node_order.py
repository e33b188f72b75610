"""The order of images that lie in shards, cut into parts so that many machines each read only some of the shards.

The parts are those of MosaicML's Streaming, which calls their number that of canonical nodes
(https://docs.mosaicml.com/projects/streaming/en/stable/dataset_configuration/shuffling.html). They depend on the seed
and not on the number of processes, so any number of these see the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from likewise.data.shard_shuffle import ShardShuffle
from likewise.errors import LikewiseError
from likewise.randomness import generator


class NodeOrder:
    """Batches of which each part of the set gives as many images; an epoch shows every image at most once.

    The images of a part lie in shards next to each other in a shuffled list of shards, which stays the same in all
    epochs; the shards at its ends may belong to two parts. Within a part the order is a `ShardShuffle`.

    Args:
        shard_of: int64 [N], the number of each image's shard.
        buffer: how many images are shuffled together, those of all parts.
        seed: which order.
        batch_size: images of a step over all ranks.
        nodes: the number of parts.

    Raises:
        LikewiseError: the batch cannot be cut into as many equal parts, or a part has fewer images than its share.
    """

    def __init__(
        self, shard_of: np.ndarray, buffer: int, seed: int, batch_size: int, nodes: int = 1
    ) -> None:
        if batch_size % nodes:
            raise LikewiseError(
                f"A batch size of {batch_size} cannot be cut into {nodes} equal parts, one a canonical node. Choose "
                f"--num-canonical-nodes so that it divides --batch-size."
            )
        self.share = batch_size // nodes
        self.steps_per_epoch = len(shard_of) // batch_size
        self._rows = [np.arange(len(shard_of))] if nodes == 1 else _cut(shard_of, seed, nodes)
        self.parts = [
            ShardShuffle(shard_of[rows], buffer // nodes, seed, (part,) if nodes > 1 else ())
            for part, rows in enumerate(self._rows)
        ]

    def drawn(self, step: int) -> Tensor:
        """int64 [batch_size]: the positions of a step's images, those of one part behind those of another."""
        epoch, turn = divmod(step, self.steps_per_epoch)
        start = turn * self.share
        drawn = []
        for rows, part in zip(self._rows, self.parts, strict=True):
            positions = part.epoch(epoch).positions[start : start + self.share]
            drawn.append(torch.from_numpy(rows)[positions])
        return torch.cat(drawn)

    def parts_of(self, rank: int, world_size: int) -> Sequence[ShardShuffle]:
        """The parts that a rank's slice of each batch comes from."""
        nodes = len(self.parts)
        end = -(-(rank + 1) * nodes // world_size)
        return self.parts[rank * nodes // world_size : end]


def _cut(shard_of: np.ndarray, seed: int, nodes: int) -> list[np.ndarray]:
    """Sorted positions of the images of each part, of which none has two more than another."""
    numbers, shard = np.unique(shard_of, return_inverse=True)
    place = torch.randperm(len(numbers), generator=generator(seed, "canonical nodes")).numpy()
    order = np.argsort(place[shard], kind="stable")
    return [np.sort(rows) for rows in np.array_split(order, nodes)]
