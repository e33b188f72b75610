"""Remote shards that are fetched before the steps that need them, while earlier steps train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from likewise.data.node_order import NodeOrder
from likewise.data.shard_shuffle import ShardShuffle
from likewise.data.sources.shard_cache import as_typed
from likewise.data.sources.shard_files import COPIES_AT_A_TIME, CachedShards
from likewise.errors import LikewiseError

Block = tuple[int, int]
"""An epoch and a block in it, see `EpochOrder`."""


class ShardsAhead:
    """Steps, each given out when the shards that it needs are in the cache; those of the next blocks are fetched then.

    Args:
        files: the shards.
        orders: in which images are read, of each part of the set that is read here.
        share: images of a step from each part.
        steps_in_epoch: steps after which the next epoch begins.
        lag: steps behind the newest one that may still be read; a block behind them makes room for the next.

    Attributes:
        failure: why the steps ended before the last one; None where they did not.
    """

    def __init__(
        self,
        files: CachedShards,
        orders: Sequence[ShardShuffle],
        share: int,
        steps_in_epoch: int,
        lag: int,
    ) -> None:
        self._parts = [_PartAhead(files, order, share, steps_in_epoch, lag) for order in orders]
        self.failure: LikewiseError | None = None

    def steps(self, steps: Sequence[int]) -> Iterator[int]:
        """The steps in order, up to the first of which a shard cannot be fetched; ``failure`` then says why."""
        # An error that is raised here, inside PyTorch's DataLoader, would hold up the end of its workers.
        threads = ThreadPoolExecutor(COPIES_AT_A_TIME)
        try:
            for step in steps:
                for part in self._parts:
                    part.ask(step, threads)
                for part in self._parts:
                    part.enter(step, threads)
                yield step
        except LikewiseError as error:
            self.failure = error
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


class _PartAhead:
    """The shards of one part of the set; see `ShardsAhead`."""

    def __init__(
        self, files: CachedShards, order: ShardShuffle, share: int, steps_in_epoch: int, lag: int
    ) -> None:
        self.files = files
        self.order = order
        self.share = share
        self.lag = lag
        self._steps_in_epoch = steps_in_epoch
        self._at: Block | None = None  # the newest block whose shards are needed
        self._entered = -1  # the first step that needs it
        self._ahead: dict[Block, list[Future[Path]]] = {}

    def ask(self, step: int, threads: ThreadPoolExecutor) -> None:
        """Have the shards of the first block fetched, before one waits for those of another part."""
        first = self._block_of(step, 0)
        if self._at is None and first not in self._ahead:
            self._ahead[first] = self._fetch(threads, first)

    def enter(self, step: int, threads: ThreadPoolExecutor) -> None:
        """Wait for the shards of a step, and have those of the next block fetched when nothing older is read."""
        first = self._block_of(step, 0)
        last = self._block_of(step, self.share - 1)
        while self._at != last:
            self._at = first if self._at is None else self._next(self._at)
            self._entered = step
            copies = self._ahead.pop(self._at, None) or self._fetch(threads, self._at)
            for copy in copies:
                copy.result()
            self._touch(self._at)
        following = self._next(last)
        if step >= self._entered + self.lag and following not in self._ahead:
            self._ahead[following] = self._fetch(threads, following)

    def _block_of(self, step: int, row: int) -> Block:
        """Epoch and block of a row of a step's share."""
        epoch, turn = divmod(step, self._steps_in_epoch)
        position = turn * self.share + row
        return epoch, int(self.order.epoch(epoch).ends.searchsorted(position, side="right"))

    def _next(self, at: Block) -> Block:
        epoch, block = at
        is_last = block + 1 == len(self.order.epoch(epoch).blocks)
        return (epoch + 1, 0) if is_last else (epoch, block + 1)

    def _fetch(self, threads: ThreadPoolExecutor, at: Block) -> list[Future[Path]]:
        epoch, block = at
        shards = self.order.epoch(epoch).blocks[block]
        return [threads.submit(self.files.cache.path, self.files.files[shard]) for shard in shards]

    def _touch(self, at: Block) -> None:
        """Count a block as used just now, so that room is made by what came before it."""
        epoch, block = at
        for shard in self.order.epoch(epoch).blocks[block]:
            self.files.cache.path(self.files.files[shard])


def require_room(files: CachedShards, order: NodeOrder) -> None:
    """Refuse a cache that holds neither all shards nor three blocks of each part: read, the one before, the next.

    Raises:
        LikewiseError: it is too small.
    """
    numbers = {number for part in order.parts for number in part.shards.tolist()}
    sizes = sorted((files.files[number].size for number in numbers), reverse=True)
    together = sum(part.shards_at_a_time for part in order.parts)
    needed = sum(sizes[: 3 * together])
    limit = files.cache.limit
    if needed > limit:
        # Images of as many shards as fit.
        images = sum(len(part) for part in order.parts)
        fitting = limit // (3 * sizes[0]) * images // len(sizes)
        buffer = f", or --shuffle-buffer {fitting}" if fitting else ""
        raise LikewiseError(
            f"The cache may have {limit:,} bytes, but {together} shards are shuffled together, and three "
            f"times as many need {needed:,}. Give --cache-size {as_typed(needed)} or more{buffer}."
        )
