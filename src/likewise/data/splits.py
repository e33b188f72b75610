"""The parts of the data: which images train, validate and test, and which of their labels training may see."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.column_names import ColumnNames
from likewise.data.columns.masks import mask_folder
from likewise.data.data_settings import DataSettings
from likewise.data.images import Images, default_channels, stored_size
from likewise.data.label_budget import LabelBudget
from likewise.data.label_noise import with_label_noise
from likewise.data.manifest import Manifest
from likewise.data.samplers import long_tailed, step_imbalanced
from likewise.data.sources.label_file import is_label_file
from likewise.data.sources.open import open_manifest
from likewise.data.video.clip_columns import SOUND, Sound
from likewise.data.video.clip_frames import ClipPixels, middle_start, open_frames, open_whole_clips
from likewise.data.video.clip_reading import with_clips
from likewise.data.video.clip_sampling import ClipSampling
from likewise.data.video.sound_windows import sound_of_frames
from likewise.errors import LikewiseError


@dataclass(frozen=True)
class Split:
    """One part of the data, opened."""

    manifest: Manifest
    """with all labels that are known"""
    images: Images
    """decoded to one size, as the encoder sees them; of clips a window of frames in their middle"""
    clips: Images | None = None
    """all stored frames of clips, which methods learn from"""

    @property
    def train_images(self) -> Images:
        """What a method is given."""
        return self.clips or self.images

    @property
    def labels(self) -> Tensor:
        """int64 [N], -1 where none is known."""
        return self.manifest.labels

    def has_sound(self) -> Tensor:
        """Bool [N]: which examples have sound that is not all silence."""
        column = self.manifest.columns.get(SOUND)
        if column is None:
            return torch.zeros(len(self.manifest), dtype=torch.bool)
        return torch.from_numpy(column.present())

    def audio_window(self, index: Tensor) -> Tensor:
        """The sound of exactly the frames in ``images``: int64 [B] -> float [B, samples] in [-1, 1]."""
        column, pixels = self.manifest.columns[SOUND], self.manifest.pixels
        assert isinstance(column, Sound) and isinstance(pixels, ClipPixels)
        frames = self.images.frames
        stored_frames = pixels.clips.frames.shape[1]
        video_frames = pixels.clips.shown[pixels.rows[index.numpy()]]  # [B]; the last frame repeats after them
        return sound_of_frames(column.read(index), middle_start(video_frames, frames), frames, stored_frames)

    def known(self) -> Tensor:
        """int64 indices of the examples whose label is known."""
        return (self.labels != UNLABELLED).nonzero().flatten()


def open_split_manifest(
    data: Any, settings: DataSettings, sampling: ClipSampling | None = None, size: int | None = None
) -> Manifest:
    """The data with train, val and test decided: the splits that they have, or else parts held out.

    Args:
        data: any source.
        settings: labels, held-out fractions, masks, captions, the part of each video that is stored.
        sampling: what the encoder sees of videos at a time; None: still images.
        size: pixels along a side of the clips that it sees; None: chosen by the data.
    """
    labels = settings.labels if is_label_file(settings.labels) else None
    names = ColumnNames(settings.label_column, settings.group_column)
    found = open_manifest(data, labels, settings.test_data, settings.captions, names)
    masked = _with_masks(found, settings)
    manifest = with_clips(masked, sampling, size, settings.seconds, settings.region)
    manifest = _with_held_out_parts(manifest, settings)
    if settings.caption_noise:
        manifest = _with_caption_noise(manifest, settings)
    if settings.imbalance == "none" or not manifest.labelled():
        return manifest
    return _imbalanced(manifest, settings)


def _with_held_out_parts(manifest: Manifest, settings: DataSettings) -> Manifest:
    """Test and val parts held out of what can be scored, where the data have no such split."""
    present = set(manifest.splits.tolist())
    scorable = manifest.labelled() > 0 or not {CAPTIONS, SOUND}.isdisjoint(manifest.columns)
    if "test" not in present and (scorable or manifest.masks is not None):
        manifest = manifest.hold_out(settings.test_fraction, settings.seed, "test")
    if "val" not in present and scorable:
        manifest = manifest.hold_out(settings.val_fraction, settings.seed, "val")
    return manifest


def _with_masks(manifest: Manifest, settings: DataSettings) -> Manifest:
    """The masks of a folder of their own, if one is named, and what their values mean."""
    if settings.masks == "none":
        return replace(manifest, masks=None)
    masks = mask_folder(Path(settings.masks), manifest.ids) if settings.masks else manifest.masks
    if masks is None:
        return manifest
    return replace(manifest, masks=replace(masks, ignore_index=settings.ignore_index, classes=settings.mask_classes))


def _with_caption_noise(manifest: Manifest, settings: DataSettings) -> Manifest:
    """The same examples, a share of the training images with the captions of others."""
    captions = manifest.columns.get(CAPTIONS)
    if not isinstance(captions, Captions):
        raise LikewiseError(f"--caption-noise was given, but {manifest.source} has no captions.")
    train = np.flatnonzero(manifest.splits == "train")
    noisy = captions.shuffled(train, settings.caption_noise, settings.seed)
    return replace(manifest, columns={**manifest.columns, CAPTIONS: noisy})


def _imbalanced(manifest: Manifest, settings: DataSettings) -> Manifest:
    """Classes of unequal size, by leaving out training images; validation and test images stay as they are."""
    train = np.flatnonzero(manifest.splits == "train")
    retained = _retained(manifest.labels[torch.from_numpy(train)], settings)
    others = np.flatnonzero(manifest.splits != "train")
    return manifest.take(np.sort(np.concatenate([train[retained.numpy()], others])))


def _retained(labels: Tensor, settings: DataSettings) -> Tensor:
    """Sorted indices of the training images that the imbalance retains."""
    if settings.imbalance == "long-tail":
        return long_tailed(labels, settings.imbalance_ratio, settings.seed)
    return step_imbalanced(labels, settings.imbalance_rare, settings.imbalance_ratio, settings.seed)


def open_before_imbalance(
    data: Any, settings: DataSettings, size: int, channels: int | None = None, sampling: ClipSampling | None = None
) -> tuple[dict[str, Split], Tensor]:
    """The splits as they were before ``settings.imbalance`` left out training images.

    Returns:
        The splits, and bool [N] for the N training images: which of them it retains, in their order.
    """
    whole = open_split_manifest(data, replace(settings, imbalance="none"), sampling, size)
    splits = open_splits(whole, size, channels, sampling)
    seen = torch.zeros(len(splits["train"].manifest), dtype=torch.bool)
    seen[_retained(splits["train"].labels, settings)] = True
    return splits, seen


def open_splits(
    manifest: Manifest, size: int, channels: int | None = None, sampling: ClipSampling | None = None
) -> dict[str, Split]:
    """Decode each split for an encoder of some size; None channels: 1 where every image is gray, else 3."""
    frames = sampling.frames if sampling is not None else 1
    stored, channels = stored_size(manifest, size), channels or default_channels(manifest)
    opened = {}
    for name in ("train", "val", "test"):
        part = manifest.split(name)
        if len(part):
            clips = open_whole_clips(part, channels) if isinstance(part.pixels, ClipPixels) else None
            opened[name] = Split(part, open_frames(part, stored, channels, frames), clips)
    if "train" not in opened:
        raise LikewiseError(
            f"{manifest.source} has no training images: by name all belong to {', '.join(sorted(opened))}. Give "
            f"training images too: a folder named train, or a file whose name does not say val or test."
        )
    return opened


def budget_of(settings: DataSettings) -> LabelBudget:
    """The label budget that the settings name."""
    text = settings.budget if is_label_file(settings.labels) else settings.labels
    return LabelBudget.parse(text, settings.seed)


def visible_labels(settings: DataSettings, train: Manifest) -> Tensor:
    """int64 [N]: the training labels within the budget, -1 elsewhere; some are flipped where label noise is set."""
    budgeted = budget_of(settings).apply(train.labels, train.ids, train.class_names)
    if not settings.label_noise:
        return budgeted
    return with_label_noise(budgeted, train.ids, settings.label_noise, train.classes, settings.seed)


def channel_statistics(images: Images, sample: int = 2000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel in [0, 1], over an even sample of the training images or clips."""
    sample = max(sample // images.frames, 1)
    index = torch.from_numpy(np.linspace(0, len(images) - 1, min(sample, len(images))).round().astype(np.int64))
    values = images.read(index).images.float().div(255).movedim(-3, 0).flatten(1)
    mean, std = values.mean(dim=1), values.std(dim=1).clamp(min=0.01)
    return tuple(round(v, 4) for v in mean.tolist()), tuple(round(v, 4) for v in std.tolist())
