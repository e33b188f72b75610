"""A user's own augmentation instead of a method's: which setting it replaces, and what the loader has to make."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch

from likewise.data.loader import Loader, ViewStream
from likewise.data.originals import CropStream, OriginalImages
from likewise.errors import LikewiseError
from likewise.methods.method import Method, MethodT, Nets
from likewise.methods.progress import Progress
from likewise.views.from_callable import CallableViews, RequestedViews
from likewise.views.policies import ViewPolicy

UserViews = ViewPolicy | Callable[..., Any]
"""A policy of ours, or a callable on a PIL image, on a uint8 tensor [C, H, W], or of albumentations."""


def view_settings(method: Method) -> list[str]:
    """Names of the settings of a method that say how views are made."""
    fields = dataclasses.fields(method)
    return [field.name for field in fields if isinstance(getattr(method, field.name), ViewPolicy | CallableViews)]


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
        raise LikewiseError(f"{type(method).__name__} has no views {unknown[0]!r}. Allowed: {', '.join(names)}.")
    given = {name: each if isinstance(each, ViewPolicy) else CallableViews(each) for name, each in views.items()}
    return dataclasses.replace(method, **given)


def view_notes(method: Method, channels: int) -> list[str]:
    """What the policies of a method do differently to images of so many channels, each note once."""
    notes: dict[str, None] = {}
    for name in view_settings(method):
        notes |= dict.fromkeys(getattr(method, name).notes(channels))
    return list(notes)


@torch.no_grad()
def view_streams(method: Method, nets: Nets, loader: Loader, progress: Progress) -> list[ViewStream]:
    """What the loader has to make of a user's callables, found by a dry run on a few images; networks stay as they are.

    Args:
        method: the rule.
        nets: what it built.
        loader: its first batch is read, and only if the method has such views.
        progress: the first step.
    """
    if not any(isinstance(getattr(method, name), CallableViews) for name in view_settings(method)):
        return []
    requested, of_support = _requested(method, nets, loader, progress)
    streams = [ViewStream(name, views.make, of_support=False) for name, views in requested.requested.items()]
    return streams + [ViewStream(name, views.make, of_support=True) for name, views in of_support.requested.items()]


@torch.no_grad()
def crop_streams(method: Method, nets: Nets, loader: Loader, progress: Progress) -> list[CropStream]:
    """The crops that the loader cuts at their files' own resolution, found by a dry run on a few images.

    None where the images are no larger than they are stored. None either where a user's callable makes views, which is
    given squares, or where a method requests views outside ``embed``.

    Args:
        method: the rule.
        nets: what it built; they stay as they are.
        loader: its first batch is read, and only where its images are at their files' own resolution.
        progress: the first step.
    """
    has_callables = any(isinstance(getattr(method, name), CallableViews) for name in view_settings(method))
    is_fixed = type(method).before_step is Method.before_step
    if not isinstance(loader.images, OriginalImages) or has_callables or not is_fixed:
        return []
    streams = []
    for views, of_support in zip(_requested(method, nets, loader, progress), (False, True), strict=True):
        for name, policy in views.policies.items():
            streams.append(CropStream(name, policy.sample_boxes, policy.size or loader.images.size, of_support))
    return streams


def _requested(method: Method, nets: Nets, loader: Loader, progress: Progress) -> tuple[RequestedViews, RequestedViews]:
    """The views that a method requests of a batch, and of its support."""
    batch = loader.batch(0)
    requested, of_support = RequestedViews(), RequestedViews()
    first = batch.microbatches(max(batch.size // 2, 1))[0]
    first = first._replace(pixels=first.pixels._replace(views=requested))
    if batch.support is not None:
        support = batch.support.microbatches(max(batch.support.size // 2, 1))[0]
        first = first._replace(support=support._replace(pixels=support.pixels._replace(views=of_support)))
    method.embed(copy.deepcopy(nets).eval(), first, progress)
    return requested, of_support
