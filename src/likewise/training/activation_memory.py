"""What the networks keep for the backward pass, measured on a few rows and told before the first step."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from likewise.collectives import rank, synchronise_batch_norm, world_size
from likewise.data.batch import Batch, Pixels
from likewise.data.columns.column import IndexedFeature
from likewise.data.images import Images
from likewise.data.loader import Loader
from likewise.methods import Method, Nets, Progress
from likewise.training.cached_gradients import divisors, normalises_batches
from likewise.training.memory_layout import channels_last

FEW = 4
"""Outputs that are embedded to measure; twice as many once more, for the slope."""

MadeT = TypeVar("MadeT")


class Activations(NamedTuple):
    """Bytes that one embedding keeps for its backward pass: a line in its rows."""

    fixed: float
    """whatever the rows, such as weights that were rounded to bfloat16"""
    image: float
    """for each image, all its views together"""
    support_row: float
    """for each row of the support"""

    def of(self, images: int, support_rows: int = 0) -> float:
        """Bytes for so many rows."""
        return self.fixed + self.image * images + self.support_row * support_rows


class Trial:
    """Embeds a few made-up images with a copy of the networks; neither they nor any generator notices.

    Args:
        fabric: device and precision, launched.
        method: whose `Method.embed` is tried.
        nets: what it built.
        images: those that will be learned from; what is tried has their shape.
        beside: what the method learns from beside pixels; the first rows of it are tried.
    """

    def __init__(
        self,
        fabric: Fabric,
        method: Method,
        nets: Nets,
        images: Images,
        beside: Mapping[str, IndexedFeature] | None = None,
    ) -> None:
        self.fabric, self.method, self.images, self.modalities = fabric, method, images, beside or {}
        self.support_rows = FEW if method.support else 0
        self.nets = copy.deepcopy(nets).train()
        if world_size() > 1:
            synchronise_batch_norm(self.nets)
        channels_last(self.nets.to(fabric.device))

    def activations(self) -> Activations:
        """What is kept for the backward pass. Two sizes tell the line; no size depends on what the images show."""
        few = self.support_rows
        least, more = self._saved(FEW, few), self._saved(2 * FEW, few)
        supported = self._saved(FEW, 2 * few) if few else least
        image, support_row = (more - least) / FEW, (supported - least) / FEW
        return Activations(least - FEW * image - few * support_row, image, support_row)

    def forward_share(self) -> float:
        """Arithmetic of an embedding over that of an embedding and its backward: a third, more with a teacher."""
        with FlopCounterMode(display=False) as ahead:
            rows = self._embed(FEW, self.support_rows)
        with FlopCounterMode(display=False) as back:
            torch.stack([row.float().sum() for row in rows]).sum().backward()
        return ahead.get_total_flops() / max(ahead.get_total_flops() + back.get_total_flops(), 1)

    def _saved(self, rows: int, support_rows: int) -> int:
        return saved_bytes(lambda: self._embed(rows, support_rows), self.nets)[0]

    def _embed(self, rows: int, support_rows: int) -> list[Tensor]:
        batch, progress = (
            self._batch(rows, support_rows).to(self.fabric.device),
            Progress(1, 2, 0, rank(), world_size()),
        )
        generators = [self.fabric.device] if self.fabric.device.type == "cuda" else []
        with torch.random.fork_rng(generators), self.fabric.autocast():
            made = self.method.embed(self.nets, batch, progress)
        return [row for row in made.values() if row.requires_grad]

    def _batch(self, rows: int, support_rows: int) -> Batch:
        """Black squares, or clips of them."""
        images = self.images
        shape = (images.channels, images.size, images.size)
        pixels = Pixels(torch.zeros(rows, *shape, dtype=torch.uint8), torch.ones(rows))
        if images.frames > 1:
            clips = pixels.images[:, None].repeat(1, images.frames, 1, 1, 1)
            pixels = Pixels(clips, pixels.aspect, torch.full((rows,), images.frames))
        support = self._batch(support_rows, 0) if support_rows else None
        index = torch.arange(rows)
        beside = {name: each.read(index % len(each)) for name, each in self.modalities.items()}
        return Batch(pixels, torch.zeros(rows, dtype=torch.int64), index, support, modalities=beside)


def saved_bytes(forward: Callable[[], MadeT], but: nn.Module) -> tuple[int, MadeT]:
    """Bytes of memory that a computation keeps for its backward pass, and what it made.

    Args:
        forward: the computation.
        but: a network whose parameters and buffers, which are there anyway, are not counted.
    """
    there = {t.untyped_storage().data_ptr() for t in (*but.parameters(), *but.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        made = forward()
    return sum(kept.values()), made


def peak_bytes(work: Callable[[], object], but: nn.Module) -> int:
    """The most bytes of memory that wait at a time for their backward pass while ``work`` runs.

    Args:
        work: forward and backward.
        but: a network whose parameters and buffers, which are there anyway, are not counted.
    """
    users = {t.untyped_storage().data_ptr(): 1 for t in (*but.parameters(), *but.buffers())}
    now = peak = 0

    class Waiting:
        """A tensor that waits; several can share memory, which counts once."""

        def __init__(self, tensor: Tensor) -> None:
            nonlocal now, peak
            self.tensor, self.storage = tensor, tensor.untyped_storage()
            place = self.storage.data_ptr()
            now += 0 if users.get(place) else self.storage.nbytes()
            peak = max(peak, now)
            users[place] = users.get(place, 0) + 1

        def __del__(self) -> None:
            nonlocal now
            place = self.storage.data_ptr()
            users[place] -= 1
            now -= 0 if users[place] else self.storage.nbytes()

    with saved_tensors_hooks(Waiting, lambda waiting: waiting.tensor):
        work()
    return peak


def memory_line(fabric: Fabric, method: Method, nets: Nets, loader: Loader, pieces: int) -> str:
    """What the first screen says of memory; empty where there is nothing to say.

    With microbatches: their memory, their price, and what batch normalisation sees. Without: whether the activations of
    a batch are more than the device's memory, and which microbatch would fit into half of it.

    Args:
        fabric: launched.
        method: the rule.
        nets: what it built.
        loader: this rank's batches.
        pieces: microbatches in a device's batch.
    """
    images = loader.batch_size // world_size()
    support = loader.support.classes * loader.support.images // world_size() if loader.support else 0
    trial = Trial(fabric, method, nets, loader.images, loader.modalities)
    activations = trial.activations()
    sizes = {size: activations.of(size, -(-support // (images // size))) for size in divisors(images)}
    if pieces > 1:
        microbatch = images // pieces
        price = trial.forward_share() * (pieces - 1) / pieces
        line = f"{_amount(sizes[microbatch])} of activations at a time instead of {_amount(sizes[images])}"
        line = f"microbatches of {microbatch}: about {line}, for about {price:.0%} more time"
        seen = f"; batch normalisation sees {microbatch * world_size():,} images at a time, not {loader.batch_size:,}"
        return line + (seen if normalises_batches(nets) else "")
    there = _memory(fabric.device)
    if there is None or sizes[images] <= there:
        return ""
    line = f"about {_amount(sizes[images])} of activations, more than the {_amount(there)} of {fabric.device}"
    fitting = [size for size, bytes_ in sizes.items() if size > 1 and bytes_ <= there / 2]
    remedy = f": --microbatch {fitting[-1]} needs {_amount(sizes[fitting[-1]])} at a time" if fitting else ""
    return f"[yellow]{line}{remedy}[/yellow]"


def _memory(device: torch.device) -> float | None:
    """Bytes that a process can have on a device, where the system tells."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    if not hasattr(os, "sysconf"):  # Windows
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / world_size()


def _amount(bytes_: float) -> str:
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e8 else f"{bytes_ / 1e6:.1f} MB"
