"""Steps turned into batches, on every rank its rows."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, get_worker_info

from likewise.counts import amount, span
from likewise.data.batch import UNLABELLED, Batch
from likewise.data.columns.column import IndexedFeature
from likewise.data.held_pixels import hold
from likewise.data.images import DecodedRows, FileImages, Images, InMemoryImages
from likewise.data.node_order import NodeOrder
from likewise.data.originals import CropStream, OriginalImages
from likewise.data.parallel_map import import_decoder
from likewise.data.samplers import ClassBalanced, shuffled
from likewise.data.shard_shuffle import SHUFFLE_BUFFER
from likewise.data.sharded_pixels import Shards, shards_of
from likewise.data.shards_ahead import ShardsAhead, require_room
from likewise.data.shared_memory import require_shared_memory, share_memory
from likewise.data.sources.shard_files import CachedShards
from likewise.data.stored_batch import StoredBatch, StoredSet, has_room
from likewise.errors import LikewiseError
from likewise.field_types import SEED, SIZE, check_fields
from likewise.randomness import BatchRNG


@dataclass(frozen=True)
class Support:
    """A labelled, class-balanced batch next to every batch."""

    classes: int
    """classes in it"""
    images: int | None
    """images of each class; None: so many that the support is `share` of the rows of two views"""
    until: float = 1.0
    """share of the run after which it is not needed any more"""
    until_step: int | None = None
    """from this step on none is decoded; None means that there is no end"""
    share: float = 0.45
    """rows of the support for each row of two views of the batch; only where `images` is None"""

    def images_for_batch(
        self, batch_size: int, world_size: int = 1, most: int | None = None
    ) -> int:
        """Images of each class beside a batch: as given, or by the share, in parts that the devices can halve.

        Args:
            batch_size: images of a step over all ranks.
            world_size: ranks. One and two of them draw the same rows.
            most: no more than this, for instance the labels of the rarest class.
        """
        if self.images is not None:
            return self.images if most is None else min(self.images, most)
        wanted = max(round(self.share * 2 * batch_size / self.classes), 2)
        images = wanted if most is None else min(wanted, most)
        parts = math.lcm(2, world_size)
        multiple = parts // math.gcd(self.classes, parts)
        return max(images // multiple, 1) * multiple


class ViewStream(NamedTuple):
    """Views that the loader makes, because a user's callable makes them one image at a time."""

    name: str
    """of the random stream, and in `Pixels.views`"""
    make: Callable[[Sequence[Tensor], Sequence[tuple[int | str, ...]]], Tensor]
    """images, uint8 [C, H, W], and a key for the randomness of each -> float32 [B, C, S, S]"""
    of_support: bool
    """whether they are of the support rows"""
    has_squares: bool = True
    """whether other views are made of the same rows, from their squares"""


@dataclass(frozen=True, eq=False)
class Loader:
    """Batches as a pure function of (seed, step): starting at step 1000 gives what passing 0..999 would have led to.

    Raises:
        LikewiseError: the batch size does not fit the set or the ranks, or the labels do not fit the support.
    """

    images: Images
    """the training set's images"""
    labels: Tensor
    """int64 [N]: what training may see, -1 where that is nothing"""
    batch_size: int
    """images of a step over all ranks, support not counted"""
    seed: int
    """order of the examples"""
    support: Support | None = None
    """class-balanced rows next to each batch"""
    workers: int = 0
    """processes that decode ahead, for images that are not in memory"""
    rank: int = 0
    """which slice of the global batch is ours"""
    world_size: int = 1
    """into how many slices it is cut"""
    modalities: Mapping[str, IndexedFeature] = field(default_factory=dict)
    """what the method learns from besides pixels, by name"""
    view_streams: Sequence[ViewStream] = ()
    """views that are made here, in the workers"""
    crop_streams: Sequence[CropStream] = ()
    """crops that are cut here, in the workers, of images at their files' own resolution"""
    shuffle_buffer: int | None = None
    """images that are shuffled together where they lie in shards, see `likewise.data.shard_shuffle.ShardShuffle`; None:
    `SHUFFLE_BUFFER` where the shards are remote, else all"""
    num_canonical_nodes: int = 1
    """parts of the set of which each batch has as many images, see `likewise.data.node_order.NodeOrder`"""

    stored: StoredSet | None = None
    """the set on a GPU"""

    def __post_init__(self) -> None:
        check_fields(self, world_size=SIZE, seed=SEED, num_canonical_nodes=SIZE)
        count = len(self.images)
        if self.labels.shape[:1] != (count,):
            raise LikewiseError(
                f"{count} images, but labels {tuple(self.labels.shape)}; give one each, -1 for none."
            )
        for name, rows in self.modalities.items():
            if len(rows) != count:
                raise LikewiseError(f"{count} images, but {len(rows)} {name}: give as many.")
        self._check_batch_size()
        if (
            self.num_canonical_nodes > 1
            and isinstance(self.images, FileImages)
            and not self._shards
        ):
            raise LikewiseError(
                f"--num-canonical-nodes {self.num_canonical_nodes} was given, but these images lie in no shards. Leave "
                f"it out, or write shards: likewise pack."
            )
        if self._order is not None and self._remote_shards is not None:
            require_room(self._remote_shards, self._order)
        if self.support is not None:
            images = self.support.images_for_batch(self.batch_size, self.world_size)
            self._check_support(self.support.classes * images)
            # A support that the labels cannot fill is refused now, not at the first step.
            _ = self._draw_support

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass over the set."""
        return len(self.images) // self.batch_size

    def with_support(self, until_step: int | None) -> Loader:
        """The same loader whose support ends at a step; from there on no support row is decoded."""
        if self.support is None:
            return self
        return replace(self, support=replace(self.support, until_step=until_step))

    def on_device(self, device: torch.device) -> Loader:
        """The same loader with its decoded images on a GPU too, where they take at most a quarter of its free memory.

        `stored_batches` are then those to take.
        """
        if not isinstance(self.images, InMemoryImages) or self.view_streams:
            return self
        pixels = self.images.pixels
        if not has_room(device, pixels.images):
            return self
        stored = StoredSet(pixels.map(lambda part: part.to(device)), self.labels.to(device))
        return replace(self, stored=stored)

    def batches(self, first_step: int, last_step: int) -> Iterator[Batch]:
        """The batches of steps first_step..last_step-1, on the CPU."""
        steps = range(first_step, last_step)
        if not isinstance(self.images, FileImages) and not self.view_streams:
            yield from (self.batch(step) for step in steps)
            return
        _ = self._support_images  # read before there are workers
        ahead = self._shards_ahead()
        if self.workers:
            require_shared_memory()
            import_decoder()
        decoding = DataLoader(
            _Steps(self, self.images),
            sampler=steps if ahead is None else ahead.steps(steps),
            batch_size=None,
            num_workers=min(self.workers, len(steps)),
            collate_fn=_unchanged,
            # Those are pinned on their way to the GPU.
            pin_memory=torch.cuda.is_available() and not self.crop_streams,
        )
        for batch, unreadable in decoding:
            self.images.unreadable.update(unreadable)
            yield batch
        if ahead is not None and ahead.failure is not None:
            raise ahead.failure

    def batch(self, step: int) -> Batch:
        """Our rows of one step's batch, decoded here and now."""
        batch = self._rows(self._drawn(step), step, of_support=False)
        drawn = self._drawn_support(step)
        if drawn is None:
            return batch
        return batch._replace(support=self._rows(drawn, step, of_support=True))

    def stored_batches(self, first_step: int, last_step: int) -> Iterator[StoredBatch]:
        """The batches of steps first_step..last_step-1 by their positions in the set that `on_device` stored."""
        for step in range(first_step, last_step):
            batch = self._stored_rows(self._drawn(step))
            drawn = self._drawn_support(step)
            yield batch if drawn is None else batch._replace(support=self._stored_rows(drawn))

    def _drawn(self, step: int) -> Tensor:
        """int64 [batch_size]: the positions of a step's images over all ranks."""
        if self._order is None:
            return shuffled(len(self.images), self.batch_size, self.seed, step)
        return self._order.drawn(step)

    def _drawn_support(self, step: int) -> Tensor | None:
        """int64 [S]: those of its support; None where there is none, or none any more."""
        if self._draw_support is None or (self.support and _ended(self.support, step)):
            return None
        return self._draw_support(step)

    def _shards_ahead(self) -> ShardsAhead | None:
        """What fetches remote shards before the steps that need them."""
        if self._order is None or self._remote_shards is None:
            return None
        lag = 2 * self.workers  # batches that PyTorch's DataLoader has under way
        parts = self._order.parts_of(self.rank, self.world_size)
        return ShardsAhead(self._remote_shards, parts, self._order.share, self.steps_per_epoch, lag)

    @cached_property
    def _shards(self) -> Shards | None:
        return shards_of(self.images.source) if isinstance(self.images, FileImages) else None

    @property
    def _remote_shards(self) -> CachedShards | None:
        files = self._shards and self._shards.files
        return files if isinstance(files, CachedShards) else None

    @cached_property
    def _support_images(self) -> Images:
        """The images with the labelled ones in memory, where the support draws them from shards all over the set."""
        images = self.images
        files = self._remote_shards
        if self.support is None or files is None or files.fit_in_cache:
            return images
        assert self._shards is not None and isinstance(images, FileImages)
        labelled = (self.labels != UNLABELLED).nonzero().flatten().numpy()
        copied = copy.copy(images)  # it shares what is known to be unreadable
        copied.source = hold(images.source, labelled, self._shards.number, files)
        return copied

    @cached_property
    def _order(self) -> NodeOrder | None:
        """The order of images that are read from shards; None where every image is as near as any other."""
        buffer = self.shuffle_buffer
        nodes = self.num_canonical_nodes
        if not buffer and (self._remote_shards is not None or nodes > 1):
            buffer = SHUFFLE_BUFFER
        if self._shards is None or not buffer:
            return None
        return NodeOrder(self._shards.number, buffer, self.seed, self.batch_size, nodes)

    def _rows(self, positions: Tensor, step: int, of_support: bool) -> Batch:
        # Labels and captions belong to their images: the replacement of an unreadable row keeps its own.
        pixels, index = self._pixels(self._own(positions), step, of_support)
        return Batch(pixels, self.labels[index], index, modalities=self._modalities(index))

    def _stored_rows(self, positions: Tensor) -> StoredBatch:
        assert self.stored is not None and isinstance(self.images, InMemoryImages)
        index = self.images.replaced_positions(self._own(positions), self.labels)
        return StoredBatch(self.stored, index, modalities=self._modalities(index))

    def _own(self, positions: Tensor) -> Tensor:
        """This rank's slice."""
        share = len(positions) // self.world_size
        first = self.rank * share
        return positions[first : first + share]

    def _modalities(self, index: Tensor) -> dict[str, Tensor]:
        return {name: rows.read(index) for name, rows in self.modalities.items()}

    def _pixels(self, own: Tensor, step: int, of_support: bool) -> DecodedRows:
        """The images at some positions, with the views that are made here, or the crops of them that views show."""
        images = self._support_images if of_support else self.images
        views = [stream for stream in self.view_streams if stream.of_support == of_support]
        if views:
            return self._with_views(images, own, step, views)
        streams = [stream for stream in self.crop_streams if stream.of_support == of_support]
        if not streams or not isinstance(images, OriginalImages):
            return images.replaced(own, labels=self.labels)
        count = len(own)

        # The numbers that `Progress.rng` gives for the whole of our rows.
        def rng(name: str) -> BatchRNG:
            return BatchRNG(
                (self.seed, step, name), count, count * self.world_size, count * self.rank
            )

        return images.cropped(own, self.labels, streams, rng)

    def _with_views(
        self, images: Images, own: Tensor, step: int, streams: Sequence[ViewStream]
    ) -> DecodedRows:
        """The images at some positions with their views, each made by its position in the global batch."""
        if isinstance(images, OriginalImages):
            squares = any(stream.has_squares for stream in streams)
            rows, given = images.whole(own, self.labels, squares)
        else:
            rows = images.replaced(own, labels=self.labels)
            given = rows.pixels.unsqueezed()
        first = self.rank * len(own)
        views = {}
        for stream in streams:
            keys = [(self.seed, step, stream.name, first + row) for row in range(len(own))]
            views[stream.name] = stream.make(given, keys)
        return rows._replace(pixels=rows.pixels._replace(views=views))

    @cached_property
    def _draw_support(self) -> ClassBalanced | None:
        if self.support is None:
            return None
        images = self.support.images_for_batch(self.batch_size, self.world_size)
        return ClassBalanced(self.labels, self.support.classes, images, self.seed)

    def _check_batch_size(self) -> None:
        """Refuse a batch that is too small to contrast, larger than the set, or not the same on each device."""
        count, size, world = len(self.images), self.batch_size, self.world_size
        least = max(world, 2)
        if count < least:
            devices = f", one a device; or fewer --devices than {world}" if world > 2 else ""
            images = "is 1 training image" if count == 1 else f"are {count} training images"
            raise LikewiseError(
                f"There {images}, and a step contrasts {least} or more. Give more images{devices}."
            )
        fitting = world * _power_of_two(min(size if size >= least else 256, count) // world)
        # The next multiple, or the one before it where there are too few images.
        if least <= size <= count:
            fitting = min(-(-size // world), count // world) * world
        remedy = _sizes_allowed(least, count, world, fitting)
        if size < 2:
            raise LikewiseError(
                f"A batch size of {size} was given: contrast needs at least 2 images. {remedy}"
            )
        if size > count:
            raise LikewiseError(
                f"A batch size of {size} was given, but there are only {count} training images. {remedy}"
            )
        if size % world:
            raise LikewiseError(
                f"A batch size of {size} cannot be cut into {world} equal parts. {remedy}"
            )

    def _check_support(self, rows: int) -> None:
        if rows % self.world_size:
            raise LikewiseError(
                f"A support batch of {rows} images cannot be cut into {self.world_size} equal parts, one a device. "
                f"Choose --method.classes-per-batch or --method.images-per-class so that it is a multiple of "
                f"{self.world_size}."
            )


class _Steps(Dataset):
    """Batches by step, for a DataLoader whose workers each decode whole batches."""

    def __init__(self, loader: Loader, images: Images) -> None:
        self.loader = loader
        self.images = images

    def __getitem__(self, step: int) -> tuple[Batch, dict[str, str]]:
        """A batch, and what this worker has found unreadable so far."""
        batch = self.loader.batch(step)
        if get_worker_info() is not None:
            share_memory(batch)
        return batch, dict(self.images.unreadable)


def _unchanged(item: Any) -> Any:
    return item


def _ended(support: Support, step: int) -> bool:
    return support.until_step is not None and step >= support.until_step


def _sizes_allowed(least: int, count: int, world: int, fitting: int) -> str:
    """What to type for the batch size: from so many images up to so many, in equal parts for the ranks."""
    first, last = -(-least // world) * world, count // world * world
    if first == last:
        devices = f" on {world} devices" if world > 1 else ""
        return f"{amount(count, 'image')} allow one size alone{devices}: --batch-size {first}."
    multiples = f", a multiple of {world}, one part a device" if world > 1 else ""
    return f"Choose {span(least, count)}{multiples}, for instance --batch-size {fitting}."


def _power_of_two(limit: int) -> int:
    """The largest power of two that is not above a limit."""
    return 1 << (limit.bit_length() - 1)
