"""Everything that a run is made of, decided before anything is written or trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from likewise.data.columns.targets import targets_in
from likewise.data.encoder_range import refuse_unused_range, require_encoder_range
from likewise.data.left_out import require_few_unread
from likewise.data.splitter import DataSplitter
from likewise.field_types import with_checked_types
from likewise.methods import Method, Recipe, find_method, with_view_size
from likewise.methods.user_views import with_views
from likewise.runs.choices import choose_encoder, choose_method, start_encoder
from likewise.runs.given import NOTHING_GIVEN, GivenObjects, checked_recipe
from likewise.runs.inputs import Inputs, choose_inputs
from likewise.runs.open_data import RunData, list_data, open_data
from likewise.runs.prepared import Prepared
from likewise.runs.pretrained_start import choose_pretrained_start
from likewise.runs.setting_checks import check_method, check_recipe, check_settings
from likewise.runs.settings import TrainSettings
from likewise.runs.teacher import require_teacher


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

    seen = _open(data, settings, named, given.encoder)
    settings, inputs, opened = seen.settings, seen.inputs, seen.data
    columns = opened.train.manifest.columns
    targets = (
        targets_in(columns) if DataSplitter(settings.data_settings).budget.per_class != 0 else None
    )
    rule, method_reason = choose_method(named, opened.visible_labels, targets)
    if given.views is not None:
        rule = with_views(rule, given.views)
    frames = inputs.sampling.frames if inputs.sampling else None
    transforms = rule.column_transforms(columns)
    return Prepared(
        settings=settings,
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
        start_reason=seen.start_reason,
        shows_targets=targets is not None,
    )


class _Seen(NamedTuple):
    """The data as the encoder sees them."""

    settings: TrainSettings
    """with the encoder's start, image size and region decided"""
    inputs: Inputs
    data: RunData
    start_reason: str
    """why the encoder starts from pretrained weights; empty where that was not decided here"""


def _open(
    data: Any, settings: TrainSettings, named: Method | None, module: nn.Module | None
) -> _Seen:
    """What the encoder sees decides how the data are opened, and the data whether it starts from weights.

    Raises:
        LikewiseError: too many files cannot be read, or pixels have another range than the encoder reads.
    """
    start = start_encoder(settings, named)
    inputs = choose_inputs(settings, named, start)
    trained = start.pixel_range if start is not None else None
    pixel_range = settings.pixel_range or trained
    data_settings = replace(settings.data_settings, region=inputs.region, pixel_range=pixel_range)
    splitter = DataSplitter(data_settings, inputs.sampling, inputs.image_size)
    manifest = list_data(data, splitter, named)
    if trained is not None:
        require_encoder_range(manifest, trained, settings.pixel_range)
    else:
        refuse_unused_range(manifest, settings.pixel_range)
    left_out = manifest.unread
    require_few_unread(left_out, len(manifest) + len(left_out), settings.max_bad)
    settings, start_reason = choose_pretrained_start(settings, named, module, manifest, splitter)
    if start_reason:  # pretrained weights bring an image size of their own
        inputs = inputs._replace(image_size=settings.image_size)
        splitter = DataSplitter(data_settings, inputs.sampling, inputs.image_size)
    opened = open_data(manifest, splitter)
    images = opened.train.train_images
    unread = left_out | images.unreadable
    require_few_unread(unread, len(images) + len(left_out), settings.max_bad)
    decided = replace(settings, image_size=inputs.image_size, region=inputs.region)
    return _Seen(decided, inputs, opened, start_reason)


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
