"""The parts of the data: opened images for training, validation and testing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.batch import UNLABELLED
from likewise.data.data_settings import Store
from likewise.data.even_sample import evenly_spaced
from likewise.data.images import FileImages, Images
from likewise.data.left_out import some_files
from likewise.data.manifest import SPLITS, Manifest
from likewise.data.open_images import default_channels, stored_size
from likewise.data.originals import open_originals
from likewise.data.sharded_pixels import rows_of_few_shards
from likewise.data.video.clip_columns import SOUND, Sound
from likewise.data.video.clip_frames import ClipPixels, middle_start, open_frames, open_whole_clips
from likewise.data.video.clip_sampling import ClipSampling
from likewise.data.video.sound_windows import sound_of_frames
from likewise.errors import LikewiseError

SAMPLE = 2000
"""images whose pixels give the statistics of channels"""


@dataclass(frozen=True)
class Split:
    """One part of the data, opened."""

    manifest: Manifest
    """with all labels that are known"""
    images: Images
    """decoded to one size, as the encoder sees them; of clips a window of frames in their middle"""
    clips: Images | None = None
    """all stored frames of clips, which methods learn from"""
    originals: Images | None = None
    """the same images, whose crops come from the files' own resolution; None where they are no larger than the store"""

    @property
    def train_images(self) -> Images:
        """What a method is given."""
        return self.clips or self.originals or self.images

    @property
    def labels(self) -> Tensor:
        """int64 [N], -1 where none is known."""
        return self.manifest.labels

    def take(self, index: Tensor) -> Split:
        """The examples at some positions."""
        clips = None if self.clips is None else self.clips.take(index)
        originals = None if self.originals is None else self.originals.take(index)
        return Split(self.manifest.take(index), self.images.take(index), clips, originals)

    def has_sound(self) -> Tensor:
        """Bool [N]: which examples have sound that is not all silence."""
        column = self.manifest.columns.get(SOUND)
        if column is None:
            return torch.zeros(len(self.manifest), dtype=torch.bool)
        return torch.from_numpy(column.present())

    def audio_window(self, index: Tensor) -> Tensor:
        """The sound of exactly the frames in ``images``: int64 [B] -> float [B, samples] in [-1, 1]."""
        column = self.manifest.columns[SOUND]
        pixels = self.manifest.pixels
        assert isinstance(column, Sound) and isinstance(pixels, ClipPixels)
        frames = self.images.frames
        # [B]; the last frame repeats after them
        video_frames = pixels.clips.valid_frames[pixels.rows[index.numpy()]]
        start = middle_start(video_frames, frames)
        return sound_of_frames(
            column.read(index), start, frames, stored=pixels.clips.frames.shape[1]
        )

    def known(self) -> Tensor:
        """int64 indices of the examples whose label is known."""
        return (self.labels != UNLABELLED).nonzero().flatten()


def open_splits(
    manifest: Manifest,
    size: int,
    channels: int | None = None,
    sampling: ClipSampling | None = None,
    store: Store = "squeezed",
) -> dict[str, Split]:
    """Decode each split for an encoder of some size; None channels: 1 where every image is gray, else 3.

    With ``store`` "original" training crops come from the files' own resolution.
    """
    frames = sampling.frames if sampling is not None else 1
    stored = stored_size(manifest, size)
    channels = channels or default_channels(manifest)
    opened = {}
    for name in SPLITS:
        part = manifest.split(name)
        if len(part):
            clips = (
                open_whole_clips(part, channels) if isinstance(part.pixels, ClipPixels) else None
            )
            is_cropped = store == "original" and name == "train" and clips is None
            originals = open_originals(part, stored, channels) if is_cropped else None
            images = open_frames(part, stored, channels, frames)
            opened[name] = Split(part, images, clips, originals)
    if "train" not in opened:
        raise LikewiseError(
            f"{manifest.source} has no training images: by name all belong to {', '.join(sorted(opened))}. Give "
            f"training images too: a folder named train, or a file whose name does not say val or test."
        )
    return opened


def channel_statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel in [0, 1], over an even sample of the training images or clips.

    Where they lie in remote shards, the sample is of a few of these.
    """
    sample = max(SAMPLE // images.frames, 1)
    rows = np.arange(len(images))
    if isinstance(images, FileImages):
        rows = rows_of_few_shards(images.source)
    index = torch.from_numpy(rows[evenly_spaced(len(rows), sample)])
    readable = images.readable(index).pixels.images
    if not len(readable):
        raise LikewiseError(
            f"None of {amount(len(index), 'training image')} can be decoded. {some_files(images.unreadable)}"
        )
    values = readable.float().div(255).movedim(-3, 0).flatten(1)  # [C, pixels]
    mean = values.mean(dim=1)
    std = values.std(dim=1).clamp(min=0.01)
    return _rounded(mean), _rounded(std)


def _rounded(values: Tensor) -> tuple[float, ...]:
    return tuple(round(value, 4) for value in values.tolist())
