"""Views as large as the images, and where these are small, as the papers make them for CIFAR."""

from __future__ import annotations

import dataclasses

from likewise.errors import WrongArgument
from likewise.field_types import SIZE, typed_arguments
from likewise.methods.method import MethodT
from likewise.views.from_callable import CallableViews
from likewise.views.policies import (
    byol,
    moco_v2,
    simclr,
    simclr_small,
    supcon,
    swav,
    swav_small_crop,
)
from likewise.views.view_policy import ViewPolicy

SMALL_VIEW = 64
"""Up to this many pixels views are made as the papers make them for CIFAR: no blur, SimCLR's colours halved."""


@typed_arguments(size=SIZE, frames=SIZE)
def with_view_size(method: MethodT, size: int, frames: int | None = None) -> MethodT:
    """The method with every view policy that names no size set to the run's image size.

    Policies left at a paper's ImageNet form are swapped for its CIFAR form where images are small. A field whose
    metadata name a ``side`` gets that share of the size.

    Args:
        method: the rule.
        size: pixels along a side.
        frames: of clips, for each policy that names none; None of images.
    """
    if not dataclasses.is_dataclass(method):
        raise WrongArgument(
            "method",
            repr(method),
            "was given; give a method, for instance likewise.methods.SimCLR().",
        )
    for_small = _for_small_images()
    changed = {}
    for field in dataclasses.fields(method):
        policy = getattr(method, field.name)
        if not isinstance(policy, ViewPolicy | CallableViews):
            continue
        if policy.size is None:
            if size <= SMALL_VIEW and isinstance(policy, ViewPolicy):
                policy = for_small.get(policy, policy)
            share = field.metadata.get("side", 1)
            policy = dataclasses.replace(policy, size=max(round(size * share), 2))
        if policy.frames is None:
            policy = dataclasses.replace(policy, frames=frames)
        changed[field.name] = policy
    return dataclasses.replace(method, **changed)


def _for_small_images() -> dict[ViewPolicy, ViewPolicy]:
    """Policies in the papers' form for CIFAR, by their form for ImageNet."""
    forms = {simclr(): simclr_small(), moco_v2(): supcon()}
    for policy in byol():
        forms[policy] = dataclasses.replace(policy, blur=0.0)
    forms[swav()] = dataclasses.replace(simclr_small(), crop_area=(0.14, 1.0))
    forms[swav_small_crop()] = dataclasses.replace(simclr_small(), crop_area=(0.3, 0.75))
    return forms
