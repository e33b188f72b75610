"""Which examples train, validate and test, and which of their labels training may see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.targets import TARGETS
from likewise.data.data_settings import DataSettings
from likewise.data.label_budget import LabelBudget
from likewise.data.label_noise import with_label_noise
from likewise.data.manifest import Manifest
from likewise.data.open_images import default_size
from likewise.data.samplers import long_tailed, step_imbalanced
from likewise.data.sources.data_source import DataSource
from likewise.data.sources.label_file import is_label_file
from likewise.data.sources.mask_folder import mask_folder
from likewise.data.sources.shard_cache import ShardCache
from likewise.data.splits import Split, open_splits
from likewise.data.video.clip_columns import SOUND
from likewise.data.video.clip_reading import clip_size, with_clips
from likewise.data.video.clip_sampling import ClipSampling
from likewise.errors import LikewiseError


class DataSplitter:
    """Lists the examples of a source with their splits, and hides labels.

    Args:
        settings: labels, held-out fractions, masks, captions, the part of each video that is stored.
        sampling: what the encoder sees of videos at a time; None: still images.
        size: pixels along a side of the images that it sees; None: chosen by the data.
    """

    def __init__(
        self, settings: DataSettings, sampling: ClipSampling | None = None, size: int | None = None
    ) -> None:
        self.settings = settings
        self.sampling = sampling
        self.size = size

    def list_examples(self, data: Any) -> Manifest:
        """Any source with train, val and test decided: the splits that it has, or else parts held out."""
        manifest = self._list_whole(data)
        if self.settings.imbalance == "none" or not manifest.labelled():
            return manifest
        return self._with_imbalance(manifest)

    def open(self, manifest: Manifest, channels: int | None = None) -> dict[str, Split]:
        """The splits of a manifest, decoded; None channels: 1 where every image is gray, else 3."""
        return open_splits(
            manifest, self.image_size(manifest), channels, self.sampling, self.settings.store
        )

    def image_size(self, manifest: Manifest) -> int:
        """Pixels along a side of the images that the encoder sees."""
        if self.size is not None:
            return self.size
        return default_size(manifest) if self.sampling is None else clip_size(manifest)

    def list_before_imbalance(self, data: Any) -> tuple[Manifest, Tensor]:
        """The examples as they were before the imbalance left out training images.

        Returns:
            The examples, and bool [N] for the N training images: which of them the imbalance retains, in their order.
        """
        manifest = self._list_whole(data)
        labels = manifest.split("train").labels
        seen = torch.zeros(len(labels), dtype=torch.bool)
        seen[self._retained(labels)] = True
        return manifest, seen

    @property
    def budget(self) -> LabelBudget:
        """The label budget that the settings name."""
        settings = self.settings
        text = settings.budget if is_label_file(settings.labels) else settings.labels
        return LabelBudget.parse(text, settings.seed)

    def visible_labels(self, train: Manifest) -> Tensor:
        """int64 [N]: the training labels within the budget, -1 elsewhere; some are flipped where label noise is set."""
        if TARGETS in train.columns:
            self._refuse_partial_budget()
        budgeted = self.budget.apply(train.labels, train.ids, train.class_names)
        if not self.settings.label_noise:
            return budgeted
        return with_label_noise(
            budgeted, train.ids, self.settings.label_noise, train.classes, self.settings.seed
        )

    def _refuse_partial_budget(self) -> None:
        """A budget counts the labels of a class, and targets are no classes of one label each."""
        if self.budget != LabelBudget(seed=self.settings.seed) and self.budget.per_class != 0:
            raise LikewiseError(
                f"--labels {self.settings.labels} was given, but images with several classes or with numbers have no "
                f"label budget. Give all or none, or a CSV in which the labels that are to be hidden are blank."
            )

    def _list_whole(self, data: Any) -> Manifest:
        """All examples, whatever the imbalance."""
        settings = self.settings
        cache = ShardCache.of(settings.cache_dir, settings.cache_size)
        source = DataSource(
            data,
            settings.labels,
            settings.test_data,
            settings.captions,
            settings.columns,
            settings.pixel_range,
            cache,
        )
        masked = self._with_masks(source.open())
        clips = with_clips(masked, self.sampling, self.size, settings.seconds, settings.region)
        manifest = self._with_held_out_parts(clips)
        return self._with_caption_noise(manifest) if settings.caption_noise else manifest

    def _with_masks(self, manifest: Manifest) -> Manifest:
        """The masks of a folder of their own, if one is named, and what their values mean."""
        settings = self.settings
        if settings.masks == "none":
            return replace(manifest, masks=None)
        masks = (
            mask_folder(Path(settings.masks), manifest.ids) if settings.masks else manifest.masks
        )
        if masks is None:
            return manifest
        masks = replace(masks, ignore_index=settings.ignore_index, classes=settings.mask_classes)
        return replace(manifest, masks=masks)

    def _with_held_out_parts(self, manifest: Manifest) -> Manifest:
        """Test and val parts held out of what can be scored, where the data have no such split."""
        settings = self.settings
        present = set(manifest.splits.tolist())
        scorable = manifest.labelled() > 0 or not {CAPTIONS, SOUND, TARGETS}.isdisjoint(
            manifest.columns
        )
        if "test" not in present and (scorable or manifest.masks is not None):
            manifest = manifest.hold_out(settings.test_fraction, settings.seed, "test")
        if "val" not in present and scorable:
            manifest = manifest.hold_out(settings.val_fraction, settings.seed, "val")
        return manifest

    def _with_caption_noise(self, manifest: Manifest) -> Manifest:
        """The same examples, a share of the training images with the captions of others."""
        captions = manifest.columns.get(CAPTIONS)
        if not isinstance(captions, Captions):
            raise LikewiseError(
                f"--caption-noise was given, but {manifest.source} has no captions."
            )
        train = np.flatnonzero(manifest.splits == "train")
        noisy = captions.shuffled(train, self.settings.caption_noise, self.settings.seed)
        return replace(manifest, columns={**manifest.columns, CAPTIONS: noisy})

    def _with_imbalance(self, manifest: Manifest) -> Manifest:
        """Classes of unequal size, by leaving out training images; validation and test images stay as they are."""
        train = np.flatnonzero(manifest.splits == "train")
        retained = train[self._retained(manifest.labels[torch.from_numpy(train)]).numpy()]
        others = np.flatnonzero(manifest.splits != "train")
        rows = np.concatenate([retained, others])
        return manifest.take(np.sort(rows))

    def _retained(self, labels: Tensor) -> Tensor:
        """Sorted indices of the training images that the imbalance retains."""
        settings = self.settings
        if settings.imbalance == "long-tail":
            return long_tailed(labels, settings.imbalance_ratio, settings.seed)
        return step_imbalanced(
            labels, settings.imbalance_rare, settings.imbalance_ratio, settings.seed
        )
