"""A run with everything decided: what it learns from, by which method, from which start."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.checks.mask_check import MasksFound
from likewise.data.columns.column import ColumnTransform, IndexedFeature
from likewise.data.loader import Loader
from likewise.data.manifest import Manifest
from likewise.data.splits import Split
from likewise.encoders import EncoderSettings
from likewise.methods import Method, Recipe
from likewise.runs.choices import fitted_support
from likewise.runs.settings import TrainSettings

PRETRAINED_LR_SCALE = 0.1
"""Factor of the learning rate of pretrained weights, with heads that start at random: a tenth, as R-CNN fine-tunes
at a tenth of the rate of pretraining (Girshick et al. 2014, Sec. 2.3, https://arxiv.org/abs/1311.2524)."""


@dataclass(frozen=True)
class Prepared:
    """A run, ready to go."""

    settings: TrainSettings
    """as given; image size and region are those of the encoder that the run starts from, if it has one"""
    manifest: Manifest
    """all examples, with their splits"""
    splits: dict[str, Split]
    """train always; val and test where there are labels to hold out"""
    visible_labels: Tensor
    """int64 [N] labels of the training split that training may see, -1 elsewhere"""
    method: Method
    """with its views sized"""
    method_reason: str
    """why it was chosen; empty where it was named"""
    recipe: Recipe
    """the method's, unless another was given"""
    encoder: EncoderSettings
    """network and normalisation"""
    masks: MasksFound | None = None
    """the classes of the masks, where training and test images have masks"""
    transforms: Mapping[str, ColumnTransform] = field(default_factory=dict)
    """how the columns of other modalities become numbers, by name"""
    modalities: Mapping[str, IndexedFeature] = field(default_factory=dict)
    """those numbers of the training split"""
    start_reason: str = ""
    """why it starts from pretrained weights; empty where that was named or not done"""
    shows_targets: bool = False
    """whether training may see several classes an image, or numbers"""

    @property
    def train(self) -> Split:
        """The training split."""
        return self.splits["train"]

    @property
    def train_indices(self) -> Tensor:
        """Int64, sorted indices in the training split of the images that the method is given."""
        if self.method.card.labelled_only:
            return (self.visible_labels != UNLABELLED).nonzero().flatten()
        return torch.arange(len(self.visible_labels))

    @property
    def batch_size(self) -> int:
        """As given, or 256; of fewer than 1,024 images the power of two within a quarter, but 8 where there are 8."""
        if self.settings.batch_size is not None:
            return self.settings.batch_size
        count = len(self.train_indices)
        limit = max(count // 4, min(8, count), 2)
        return min(256, 1 << (limit.bit_length() - 1))

    def loader(self, rank: int = 0, world_size: int = 1) -> Loader:
        """Batches of the training split for one rank.

        Where a method learns from labelled images alone and there are fewer than a batch, they are repeated, each time
        in another view.
        """
        settings = self.settings
        images, labels, indices = self.train.train_images, self.visible_labels, self.train_indices
        if len(indices) < len(labels):
            indices = indices.repeat(math.ceil(self.batch_size / len(indices)))
            images, labels = images.take(indices), labels[indices]
        return Loader(
            images,
            labels,
            self.batch_size,
            settings.seed,
            fitted_support(self.method, self.visible_labels, self.batch_size, world_size),
            min(os.cpu_count() or 1, 8) if settings.num_workers < 0 else settings.num_workers,
            rank,
            world_size,
            self.modalities,
            shuffle_buffer=settings.shuffle_buffer,
            num_canonical_nodes=settings.num_canonical_nodes,
        )

    def steps(self, loader: Loader) -> int:
        """Optimiser steps of the whole run."""
        batches = self.settings.epochs * loader.steps_per_epoch
        return self.settings.steps or max(round(batches / self.settings.accumulate_grad_batches), 1)

    @property
    def starts_from_weights(self) -> bool:
        """Whether the encoder starts from pretrained weights or another run; of a user's module that is not known."""
        return self.encoder.pretrained not in ("", "module")

    @property
    def encoder_lr_scale(self) -> float:
        """The factor of the encoder's learning rate: as given, or `PRETRAINED_LR_SCALE` for a start from weights."""
        settings = self.settings
        if settings.encoder_lr_scale is not None:
            return settings.encoder_lr_scale
        return PRETRAINED_LR_SCALE if self.starts_from_weights and settings.adapt is None else 1.0

    @property
    def freezes_bn_stats(self) -> bool:
        """Whether batch normalisation in encoders keeps its running statistics: those of pretraining, if there are any.

        Statistics of other images would change what each channel means to the pretrained weights.
        """
        settings = self.settings
        if settings.freeze_bn_stats != "auto":
            return settings.freeze_bn_stats == "on"
        return self.starts_from_weights or settings.adapt is not None
