"""A user's own augmentation instead of a method's: which setting it replaces, and what the loader has to make."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from likewise.data.batch import Batch
from likewise.data.loader import Loader, ViewStream
from likewise.data.originals import CropStream, OriginalImages
from likewise.errors import LikewiseError
from likewise.methods.method import Method, MethodT, Nets
from likewise.methods.progress import Progress
from likewise.views.from_callable import CallableViews, RequestedViews
from likewise.views.view_policy import ViewPolicy

UserViews = ViewPolicy | Callable[..., Any]
"""A policy of ours, or a callable on a PIL image, on a uint8 tensor [C, H, W], or of albumentations."""


def view_settings(method: Method) -> list[str]:
    """Names of the settings of a method that say how views are made."""
    fields = dataclasses.fields(method)
    return [
        field.name
        for field in fields
        if isinstance(getattr(method, field.name), ViewPolicy | CallableViews)
    ]


def with_views(method: MethodT, views: UserViews | Mapping[str, UserViews]) -> MethodT:
    """The method with the user's views.

    Args:
        method: the rule.
        views: one policy or callable for a method with a single setting of views; else one for each setting that is
            to change, by its name: ``{"weak_views": f, "strong_views": g}``.

    Raises:
        LikewiseError: the method has several such settings and they are not named, or one is none of its own.
    """
    names = view_settings(method)
    if not isinstance(views, Mapping):
        if len(names) != 1:
            example = ", ".join(f"{name!r}: ..." for name in names)
            raise LikewiseError(
                f"{type(method).__name__} makes several kinds of views, so views= must name which to replace: "
                f"views={{{example}}}. Those left out stay as they are."
            )
        views = {names[0]: views}
    unknown = sorted(set(views) - set(names))
    if unknown:
        raise LikewiseError(
            f"{type(method).__name__} has no views {unknown[0]!r}. Allowed: {', '.join(names)}."
        )
    policies: dict[str, ViewPolicy | CallableViews] = {}
    for name, given in views.items():
        policies[name] = given if isinstance(given, ViewPolicy) else CallableViews(given)
    return dataclasses.replace(method, **policies)


def view_notes(method: Method, channels: int) -> list[str]:
    """What the policies of a method do differently to images of so many channels, each note once."""
    notes: dict[str, None] = {}
    for name in view_settings(method):
        notes |= dict.fromkeys(getattr(method, name).notes(channels))
    return list(notes)


@torch.no_grad()
def view_streams(
    method: Method, nets: Nets, loader: Loader, progress: Progress
) -> list[ViewStream]:
    """What the loader has to make of a user's callables, found by a dry run on a few images; networks stay as they are.

    Args:
        method: the rule.
        nets: what it built.
        loader: its first batch is read, and only if the method has such views.
        progress: the first step.
    """
    if not has_callable_views(method):
        return []
    streams: list[ViewStream] = []
    is_fixed = type(method).before_step is Method.before_step
    for part in _requested(method, nets, loader, progress):
        has_squares = bool(part.views.policies) or not is_fixed
        for name, views in part.views.requested.items():
            streams.append(ViewStream(name, views.make, part.of_support, has_squares))
    return streams


@torch.no_grad()
def crop_streams(
    method: Method, nets: Nets, loader: Loader, progress: Progress
) -> list[CropStream]:
    """The crops that the loader cuts at their files' own resolution, found by a dry run on a few images.

    None where the images are no larger than they are stored. None either where a user's callable makes views, which is
    given whole photographs, or where a method requests views outside ``embed``.

    Args:
        method: the rule.
        nets: what it built; they stay as they are.
        loader: its first batch is read, and only where its images are at their files' own resolution.
        progress: the first step.
    """
    is_fixed = type(method).before_step is Method.before_step
    if not isinstance(loader.images, OriginalImages) or has_callable_views(method) or not is_fixed:
        return []
    streams: list[CropStream] = []
    for part in _requested(method, nets, loader, progress):
        for name, policy in part.views.policies.items():
            size = policy.size or loader.images.size
            streams.append(CropStream(name, policy.sample_boxes, size, part.of_support))
    return streams


def has_callable_views(method: Method) -> bool:
    """Whether a user's callable makes some of its views."""
    return any(isinstance(getattr(method, name), CallableViews) for name in view_settings(method))


class _Requested(NamedTuple):
    views: RequestedViews
    of_support: bool


def _requested(method: Method, nets: Nets, loader: Loader, progress: Progress) -> list[_Requested]:
    """The views that a method requests of a batch, and of its support."""
    batch = loader.batch(0)
    views, of_support = RequestedViews(), RequestedViews()
    few = _few_images(batch, views)
    if batch.support is not None:
        few = few._replace(support=_few_images(batch.support, of_support))
    method.embed(copy.deepcopy(nets).eval(), few, progress)
    return [_Requested(views, of_support=False), _Requested(of_support, of_support=True)]


def _few_images(batch: Batch, views: RequestedViews) -> Batch:
    """Two images or three of a batch, whose views are noted."""
    few = batch.microbatches(max(batch.size // 2, 1))[0]
    return few._replace(pixels=few.pixels._replace(views=views))
