"""Pseudo-labels from the votes of several adapted encoders, and a student that learns them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from likewise.adaptation.adapt import Adapted, adapt
from likewise.adaptation.adaptation import Adaptation
from likewise.data.batch import UNLABELLED
from likewise.data.images import Images
from likewise.encoders import Encoder
from likewise.evaluation.features import extract
from likewise.methods import Recipe
from likewise.training.precision import Precision
from likewise.views.centre_view import CentreView
from likewise.views.view_policy import ViewPolicy

VOTERS = ("lora", "last:2", "full")
"""Adaptations whose mistakes differ, as those of the paper's LoRA and AdaptFormer do."""

STUDENT_SHARE = 2
"""The student's share of the time, that of a voter being one: it learns from all images."""


@dataclass(frozen=True)
class Votes:
    """What several adapted encoders say of all images."""

    shares: Tensor
    """float32 [N, K]: the share of the votes of each class; a labelled image has its label"""
    voters: tuple[Adapted, ...]
    """in the order of encoders, then adaptations"""


@dataclass(frozen=True)
class Ensemble:
    """A student, and what it has learned from."""

    student: Adapted
    """an encoder with its classifier"""
    pseudo_labels: Tensor
    """float32 [N, K]: the share of the votes of each class; a labelled image has its label"""
    voters: tuple[Adapted, ...]
    """in the order of encoders, then adaptations"""


def ensemble_pseudo_labels(
    encoders: Encoder | Sequence[Encoder],
    images: Images,
    labels: Tensor,
    num_classes: int,
    adaptations: Sequence[Adaptation | str] = VOTERS,
    student: Adaptation | str = "full",
    *,
    steps: int = 300,
    student_steps: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
    time_limit: float | None = None,
    recipes: Mapping[str, Recipe] | None = None,
    views: ViewPolicy | None = None,
    image_size: int | None = None,
    precision: Precision = "auto",
) -> Ensemble:
    """Semi-supervised learning from pretrained encoders, after V-PET.

    Zhang et al. 2025, Sec. 4, https://arxiv.org/abs/2503.09707: each encoder is adapted on the labels in several ways,
    each outcome votes for one class of each unlabelled image, and a new copy of the first encoder learns the mean of
    the votes by cross-entropy, from all images and without a threshold. A vote is one class, not a probability, so that
    a model that is surer than others does not outweigh them.

    Args:
        encoders: one or several; the student starts from the first.
        images: labelled and unlabelled.
        labels: int64 [N] in 0..K-1, -1 for unlabelled images.
        num_classes: K.
        adaptations: of each encoder, a voter each.
        student: how much of the student's encoder learns.
        steps: optimiser steps of each voter.
        student_steps: optimiser steps of the student; None: twice those of a voter.
        batch_size: images of a step.
        seed: of everything that is drawn.
        device: where to compute.
        time_limit: seconds for all of it.
        recipes: optimiser and schedule of adaptations, by their names; others take that of `adapt`.
        views: augmentation; None: crop and flip.
        image_size: side in pixels of the views; None: as stored.
        precision: number format of the networks.

    Raises:
        LikewiseError: as `adapt`.
    """
    begin = time.perf_counter()
    settings: dict[str, Any] = {"batch_size": batch_size, "device": device, "views": views}
    settings |= {"image_size": image_size, "precision": precision}
    votes = ensemble_votes(
        encoders, images, labels, num_classes, adaptations, steps=steps, seed=seed,
        time_limit=time_limit, reserve=STUDENT_SHARE, recipes=recipes, **settings,
    )  # fmt: skip
    first = encoders if isinstance(encoders, Encoder) else encoders[0]
    learned = adapt(
        first, images, labels, num_classes, student, steps=student_steps or 2 * steps, seed=seed,
        time_limit=_share(time_limit, begin, 1), targets=votes.shares,
        recipe=(recipes or {}).get(str(student)), **settings,
    )  # fmt: skip
    return Ensemble(learned, votes.shares, votes.voters)


def ensemble_votes(
    encoders: Encoder | Sequence[Encoder],
    images: Images,
    labels: Tensor,
    num_classes: int,
    adaptations: Sequence[Adaptation | str] = VOTERS,
    *,
    seed: int = 0,
    time_limit: float | None = None,
    reserve: int = 0,
    recipes: Mapping[str, Recipe] | None = None,
    **settings: Any,
) -> Votes:
    """The pseudo-labels of `ensemble_pseudo_labels`, without a student.

    Args:
        encoders: one or several.
        images: labelled and unlabelled.
        labels: int64 [N] in 0..K-1, -1 for unlabelled images.
        num_classes: K.
        adaptations: of each encoder, a voter each.
        seed: of everything that is drawn.
        time_limit: seconds for all of it.
        reserve: shares of the time that are left over, that of a voter being one.
        recipes: optimiser and schedule of adaptations, by their names; others take that of `adapt`.
        settings: other arguments of `adapt`.

    Raises:
        LikewiseError: as `adapt`.
    """
    begin = time.perf_counter()
    encoders = [encoders] if isinstance(encoders, Encoder) else list(encoders)
    size, device = settings.get("image_size") or images.size, settings.get("device", "cpu")
    pairs = [(encoder, adaptation) for encoder in encoders for adaptation in adaptations]
    shares = torch.zeros(len(images), num_classes)
    voters: list[Adapted] = []
    for number, (encoder, adaptation) in enumerate(pairs):
        voter = adapt(
            encoder, images, labels, num_classes, adaptation, seed=seed + number,
            time_limit=_share(time_limit, begin, len(pairs) - number + reserve),
            recipe=(recipes or {}).get(str(adaptation)), **settings,
        )  # fmt: skip
        predicted = predictions(voter, images, size, device).argmax(dim=1)
        shares += functional.one_hot(predicted, num_classes) / len(pairs)
        voters.append(voter)
    _set_labelled(shares, labels)
    return Votes(shares, tuple(voters))


def _set_labelled(probabilities: Tensor, labels: Tensor) -> None:
    """Give labelled images their label: [N, K], changed; int64 [N]."""
    labelled = labels != UNLABELLED
    own = functional.one_hot(labels[labelled], probabilities.shape[1])
    probabilities[labelled] = own.float()


@torch.no_grad()
def predictions(
    adapted: Adapted, images: Images, image_size: int, device: torch.device | str
) -> Tensor:
    """Logits float32 [N, K] of all images."""
    features = extract(
        adapted.encoder, images, torch.arange(len(images)), CentreView(image_size), device=device
    )
    head = adapted.head
    return head(features.to(head.weight.device)).cpu()


def _share(time_limit: float | None, begin: float, parts: int) -> float | None:
    """One of several equal parts of the seconds that are left."""
    if time_limit is None:
        return None
    return max(begin + time_limit - time.perf_counter(), 0.0) / parts
