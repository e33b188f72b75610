"""Vectors of images: all in memory, or part by part into a folder, by one process or many."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from likewise.collectives import on_first_rank
from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.left_out import some_files
from likewise.data.open_images import stored_size
from likewise.data.pixel_range import say_pixels
from likewise.data.sharded_pixels import read_in_order
from likewise.data.sources.open import open_for_encoder
from likewise.data.video.clip_frames import open_frames
from likewise.data.video.clip_reading import with_clips
from likewise.encoders import Encoder, EncoderSettings
from likewise.errors import NothingReadable
from likewise.evaluation.features import extract_readable
from likewise.training.launch import launch
from likewise.training.processes import started_processes
from likewise.training.rank_watch import RankWatch
from likewise.training.screen import Screen
from likewise.vectors import Part, Vectors, part_rows, require_own_parts
from likewise.vectors.parts import whole_set
from likewise.vectors.vectors import VectorFile
from likewise.views.centre_view import CentreView
from likewise.write_lock import only_writer_in


class TrainedEncoder(NamedTuple):
    """An encoder, and what goes with it."""

    network: Encoder
    settings: EncoderSettings
    weights_hash: str
    shared: Callable[[Tensor], Tensor | None]
    """features [N, D] to the space that they share with texts or sounds; None where there is no such space"""


class EmbeddedParts(NamedTuple):
    """Vectors in a folder of Parquet files."""

    folder: Path
    vectors: int
    """how many there are"""
    parts: int
    """files"""
    found: int
    """parts that an earlier call had finished"""
    skipped: dict[str, str]
    """ids of the files of the data that have no vector, each with the reason"""


class EmbeddedImages:
    """The images of some data, opened for an encoder.

    Args:
        encoder: what makes their vectors.
        data: images, by any door that `likewise.train` takes.
        pixel_range: values that become black and white; None: those of the encoder's training.

    Raises:
        LikewiseError: the data hold no image, or pixels whose scale is not known.
    """

    def __init__(
        self, encoder: TrainedEncoder, data: Any, pixel_range: tuple[float, float] | None
    ) -> None:
        self.encoder, settings = encoder, encoder.settings
        opened = open_for_encoder(data, settings.pixel_range, pixel_range or settings.given_range)
        self.manifest = with_clips(
            opened, settings.clip_sampling, settings.image_size, region=settings.region
        )
        self.size = stored_size(self.manifest, settings.image_size)
        read_in_order(self.manifest.pixels)

    def vectors(self, batch_size: int, device: torch.device) -> Vectors:
        """The vectors of all images that can be read.

        Raises:
            NothingReadable: none can.
        """
        vectors = self.at_rows(range(len(self.manifest)), batch_size, device)
        return vectors._replace(skipped={**self.manifest.left_out, **vectors.skipped})

    def at_rows(self, rows: range, batch_size: int, device: torch.device) -> Vectors:
        """The vectors of those images at some positions that can be read.

        Raises:
            NothingReadable: none can.
        """
        settings = self.encoder.settings
        part = self.manifest.take(np.arange(rows.start, rows.stop))
        images = open_frames(part, self.size, settings.channels, settings.frames)
        view = CentreView(settings.image_size)
        found = extract_readable(
            self.encoder.network, images, torch.arange(len(part)), view, batch_size, device
        )
        read = part.take(found.positions)
        names = [read.class_names[i] if i != UNLABELLED else "" for i in read.labels.tolist()]
        shared = self.encoder.shared(found.vectors)
        return Vectors(
            list(read.ids),
            names,
            found.vectors,
            shared,
            self.encoder.weights_hash,
            images.unreadable,
        )

    def identity(self, part_size: int) -> str:
        """Changes when other images, another encoder or another size of parts would give other files."""
        said = self.encoder.weights_hash, part_size, self.size, self.manifest.pixel_range
        content = hashlib.sha256(repr(said).encode())
        for name in self.manifest.ids:
            content.update(f"{name}\0".encode())
        content.update(self.manifest.labels.numpy().tobytes())
        return content.hexdigest()


class PartWriter:
    """Writes the vectors of images into a folder, a file a part.

    Args:
        images: what is embedded.
        folder: of the parts; it is made if it is not there.
        part_size: images in a part.
        batch_size: images at a time.
    """

    def __init__(
        self, images: EmbeddedImages, folder: Path, part_size: int, batch_size: int
    ) -> None:
        self.images = images
        self.folder = folder
        self.part_size = part_size
        self.batch_size = batch_size
        self.count = math.ceil(len(images.manifest) / part_size)
        self.identity = images.identity(part_size)

    def begin(self, overwrite: bool, stack: ExitStack) -> int:
        """Make the folder, which is this writer's until the stack is closed; how many parts it has already.

        Raises:
            LikewiseError: it holds parts of something else, and ``overwrite`` is not set; or another process writes
                to it.
        """
        stack.enter_context(only_writer_in(self.folder))
        if overwrite:
            for file in self.folder.glob("part-*.parquet"):
                file.unlink()
        for unfinished in self.folder.glob("part-*.partial"):
            unfinished.unlink()
        return len(require_own_parts(self.folder, self.identity))

    def write(
        self, rank: int, ranks: int, device: torch.device, say: Callable[[str], None]
    ) -> None:
        """Embed the parts of one process that are not there yet.

        Args:
            rank: of the process.
            ranks: how many processes there are.
            device: where the encoder computes.
            say: is told of each part.
        """
        there = require_own_parts(self.folder, self.identity)
        for number in range(rank, self.count, ranks):
            if number in there:
                continue
            vectors = self._vectors(number, device)
            part = Part(number, self.count, self.identity)
            vectors.write(self.folder / part.name(rank), part.as_metadata())
            say(f"part {number + 1:,} of {self.count:,}: {amount(len(vectors.ids), 'vector')}")

    def _vectors(self, number: int, device: torch.device) -> Vectors:
        """A part's vectors; no rows where none of its images can be read."""
        rows = part_rows(number, self.part_size, len(self.images.manifest))
        try:
            vectors = self.images.at_rows(rows, self.batch_size, device)
        except NothingReadable as error:
            weights_hash = self.images.encoder.weights_hash
            vectors = Vectors([], [], torch.empty(0, 1), None, weights_hash, error.unreadable)
        if number:
            return vectors
        return vectors._replace(skipped={**self.images.manifest.left_out, **vectors.skipped})


def embed_parts(
    encoder: TrainedEncoder,
    data: Any,
    out: Path,
    part_size: int,
    batch_size: int,
    devices: int,
    pixel_range: tuple[float, float] | None,
    overwrite: bool,
    console: Console,
) -> EmbeddedParts:
    """Vectors of images into a folder; see `likewise.runs.run.Run.embed_parts`."""
    images = EmbeddedImages(encoder, data, pixel_range)
    # Processes that exist already are counted by `launch`; one device is what is given where nothing is said.
    wanted = 0 if devices == 1 and started_processes() is not None else devices
    to_go_on = "Finished parts stay. To go on, give the same command again."
    with ExitStack() as stack, RankWatch(to_go_on) as watch:
        fabric, _ = launch(devices=wanted, watch=watch)
        screen = Screen(console, enabled=fabric.is_global_zero)
        if fabric.is_global_zero:
            say_pixels(images.manifest, console)
        writer = PartWriter(images, out, part_size, batch_size)
        found = on_first_rank(lambda: writer.begin(overwrite, stack))
        if found:
            screen.say(f"{found:,} of {amount(writer.count, 'part')} are there already.")
        writer.write(fabric.global_rank, fabric.world_size, fabric.device, screen.say)
        fabric.barrier()
    files = [VectorFile(file) for file in whole_set(out)]
    skipped = {name: reason for file in files for name, reason in file.skipped.items()}
    vectors = sum(file.rows for file in files)
    if not vectors:
        raise NothingReadable(
            f"None of {amount(len(skipped), 'image')} can be decoded. {some_files(skipped)}",
            skipped,
        )
    return EmbeddedParts(out, vectors, len(files), found, skipped)
