"""Everything that a run is made of, decided before anything is written or trained."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.data.checks.mask_check import MasksFound
from likewise.data.columns.column import ColumnTransform, IndexedFeature
from likewise.data.columns.targets import targets_in
from likewise.data.encoder_range import refuse_unused_range, require_encoder_range
from likewise.data.left_out import require_few_unread
from likewise.data.loader import Loader
from likewise.data.manifest import Manifest
from likewise.data.splits import Split
from likewise.data.splitter import DataSplitter
from likewise.encoders import EncoderSettings
from likewise.field_types import with_checked_types
from likewise.methods import Method, Recipe, find_method, with_view_size
from likewise.methods.user_views import with_views
from likewise.runs.choices import choose_encoder, choose_method, fitted_support, start_encoder
from likewise.runs.given import NOTHING_GIVEN, GivenObjects, checked_recipe
from likewise.runs.inputs import choose_inputs
from likewise.runs.open_data import list_data, open_data
from likewise.runs.pretrained_start import choose_pretrained_start
from likewise.runs.setting_checks import check_method, check_recipe, check_settings
from likewise.runs.settings import TrainSettings
from likewise.runs.teacher import require_teacher


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
        )

    def steps(self, loader: Loader) -> int:
        """Optimiser steps of the whole run."""
        batches = self.settings.epochs * loader.steps_per_epoch
        return self.settings.steps or max(round(batches / self.settings.accumulate_grad_batches), 1)


def prepare(
    data: Any,
    settings: TrainSettings,
    method: str | Method = "auto",
    recipe: Recipe | None = None,
    given: GivenObjects = NOTHING_GIVEN,
) -> Prepared:
    """Open the data, hide labels, and choose what the settings leave open.

    Raises:
        LikewiseError: anything that cannot be used, named.
    """
    settings = with_checked_types(settings)
    check_settings(settings)
    named, recipe = _checked_method(method), _checked_recipe(recipe)
    require_teacher(named)

    # What the encoder sees decides how the data are opened, and its statistics come from the opened data.
    start = start_encoder(settings, named)
    inputs = choose_inputs(settings, named, start)
    trained = start.pixel_range if start is not None else None
    pixel_range = settings.pixel_range or trained
    data_settings = replace(settings.data_settings, region=inputs.region, pixel_range=pixel_range)
    splitter = DataSplitter(data_settings, inputs.sampling, inputs.image_size)
    manifest = list_data(data, splitter, named)
    refuse_unused_range(manifest, settings.pixel_range)
    if trained is not None:
        require_encoder_range(manifest, trained, settings.pixel_range)
    left_out = manifest.unread
    require_few_unread(left_out, len(manifest) + len(left_out), settings.max_bad)
    settings, start_reason = choose_pretrained_start(
        settings, named, given.encoder, manifest, splitter
    )
    if start_reason:  # pretrained weights bring an image size of their own
        inputs = inputs._replace(image_size=settings.image_size)
        splitter = DataSplitter(data_settings, inputs.sampling, inputs.image_size)
    opened = open_data(manifest, splitter)
    images, columns = opened.train.train_images, opened.train.manifest.columns
    unread = left_out | images.unreadable
    require_few_unread(unread, len(images) + len(left_out), settings.max_bad)

    targets = targets_in(columns) if splitter.budget.per_class != 0 else None
    rule, method_reason = choose_method(named, opened.visible_labels, targets)
    if given.views is not None:
        rule = with_views(rule, given.views)
    frames = inputs.sampling.frames if inputs.sampling else None
    transforms = rule.column_transforms(columns)
    return Prepared(
        settings=replace(settings, image_size=inputs.image_size, region=inputs.region),
        manifest=opened.manifest,
        splits=opened.splits,
        visible_labels=opened.visible_labels,
        method=with_view_size(rule, opened.image_size, frames),
        method_reason=method_reason,
        recipe=recipe or rule.card.recipe,
        encoder=choose_encoder(settings, rule, opened, inputs, given.encoder),
        masks=opened.masks,
        transforms=transforms,
        modalities={name: transform.of(columns[name]) for name, transform in transforms.items()},
        start_reason=start_reason,
        shows_targets=targets is not None,
    )


def _checked_method(method: str | Method) -> Method | None:
    """The method of a name, with its defaults, or the instance that was given; None for ``auto``.

    Raises:
        LikewiseError: there is no such method, or one of its settings cannot be used.
    """
    if method == "auto":
        return None
    named = with_checked_types(method if isinstance(method, Method) else find_method(method)())
    check_method(named)
    return named


def _checked_recipe(recipe: Recipe | None) -> Recipe | None:
    """The recipe that was given, if its numbers can be used.

    Raises:
        LikewiseError: one of them cannot.
    """
    recipe = checked_recipe(recipe)
    if recipe is not None:
        check_recipe(recipe)
    return recipe
