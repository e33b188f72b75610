"""Retrieval of images by texts or sounds, and of texts or sounds by images: recall at k, zero-shot classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.errors import LikewiseError
from likewise.evaluation.statistics.confidence import wilson
from likewise.evaluation.statistics.scores import (
    NO_PREDICTIONS,
    Hits,
    Measurement,
    Score,
    require_usable,
)

RANKS = (1, 5, 10)
"""the k of recall at k (Karpathy and Fei-Fei 2015, https://arxiv.org/abs/1412.2306)"""

ZERO_SHOT_RANKS = (1, 5)
"""the k of hit@k; those that are not below the number of classes are left out"""

TEMPLATES = ("{}", "a photo of a {}", "a photo of the {}", "an image of a {}", "a picture of a {}")
"""prompts of a class; their vectors are averaged, as CLIP's authors do with eighty of them"""

QUERIES_AT_A_TIME = 1024
"""rows of the similarity matrix in memory at once"""

INTERVAL = (
    "Wilson 1927 score interval over test images, 95%; captions of one image are not independent"
)


class Ranks(NamedTuple):
    """How many candidates are at least as similar as the correct one, itself not counted; 0 is a hit at 1."""

    of_queries: Tensor
    """int64 [M], for each query (a text or a sound) the rank of its image"""
    of_images: Tensor
    """int64 [N], for each image the rank of the best of its queries"""
    owner: Tensor
    """int64 [M], the image of each query"""


def ranks(images: Tensor, queries: Tensor, owner: Tensor) -> Ranks:
    """Ranks in both directions. Ties count against the correct candidate, so a collapsed encoder finds nothing.

    Args:
        images: unit vectors [N, D].
        queries: unit vectors [M, D] of texts or sounds.
        owner: int64 [M], the image of each query; every image has one or more.

    Raises:
        LikewiseError: an image has no query, or vectors are NaN or infinite.
    """
    require_usable(images, "images'")
    require_usable(queries, "texts'")
    parts = queries.split(QUERIES_AT_A_TIME)
    chunks = list(zip(parts, owner.split(QUERIES_AT_A_TIME), strict=True))
    of_queries = []
    # [N], each image's similarity to the nearest of its queries
    best = torch.full((len(images),), -torch.inf)
    for part, own in chunks:
        similarity = part @ images.T  # [m, N]
        correct = similarity.gather(1, own[:, None])  # [m, 1]
        of_queries.append((similarity >= correct).sum(dim=1) - 1)
        best.scatter_reduce_(0, own, correct.flatten(), "amax")
    without = int(best.isinf().sum())
    if without:
        raise LikewiseError(
            f"{without} of the {amount(len(images), 'image')} have no text to be found by."
        )
    return Ranks(torch.cat(of_queries), _ranks_of_images(images, chunks, best), owner)


def _ranks_of_images(
    images: Tensor, chunks: Sequence[tuple[Tensor, Tensor]], best: Tensor
) -> Tensor:
    """int64 [N]: how many queries of other images are as similar to an image as the ``best`` of its own, or more."""
    found = torch.zeros(len(images), dtype=torch.int64)
    for part, own in chunks:
        similarity = images @ part.T  # [N, m]
        as_similar = similarity >= best[:, None]
        as_similar[own, torch.arange(len(part))] = False
        found += as_similar.sum(dim=1)
    return found


class Retrieved(NamedTuple):
    """Test images, and the texts or sounds that rank them."""

    positions: Tensor
    """int64 [N], each image's position in the test split"""
    images: Tensor
    """unit vectors [N, D]"""
    queries: Tensor
    """unit vectors [M, D]"""
    owner: Tensor
    """int64 [M], the image of each query"""
    rank: Tensor
    """int64 [M], how many images are ranked before the query's own"""
    texts: list[str] | None
    """the M queries where they are texts; None: they are the sounds of the clips"""


class RetrievalDirections(NamedTuple):
    """The names of both directions of retrieval."""

    names: tuple[str, str] = ("text_to_image", "image_to_text")
    """prefixes of the scores: queries -> images, then images -> queries"""
    counted: tuple[str, str] = ("images", "texts")
    """keys of the protocol that hold the number of images and of queries"""


def measure_retrieval(
    found: Ranks, directions: RetrievalDirections | None = None
) -> list[Measurement]:
    """Recall at 1, 5 and 10 in both directions; a k that finds everything by chance is left out.

    Args:
        found: the ranks.
        directions: names of the scores; None: those of texts and images.
    """
    directions = directions or RetrievalDirections()
    images = len(found.of_images)
    queries = len(found.of_queries)
    counts = dict(zip(directions.counted, (images, queries), strict=True))
    by_queries, by_images = directions.names
    measurements = []
    for k in RANKS:
        chance = _chance_by_queries(k, images)
        if chance < 1:
            hits = Hits(found.of_queries < k, found.owner)
            measurements.append(_recall(f"{by_queries}_r{k}", hits, images, counts, chance))
    for k in RANKS:
        chance = _chance_by_images(k, images, queries)
        if chance < 1:
            hits = Hits(found.of_images < k, torch.arange(images))
            measurements.append(_recall(f"{by_images}_r{k}", hits, images, counts, chance))
    return measurements


def measure_zero_shot(images: Tensor, classes: Tensor, labels: Tensor) -> list[Measurement]:
    """Zero-shot classification by class names: flat hit@k, the share of images whose class is in the top k.

    Cheng et al. 2021, Sec. 4, https://arxiv.org/abs/2104.08945.

    Args:
        images: unit vectors [N, D].
        classes: unit vectors [C, D], one for each class.
        labels: int64 [N].
    """
    require_usable(images, "images'")
    similarity = images @ classes.T  # [N, C]
    correct = similarity.gather(1, labels[:, None])  # [N, 1]
    rank = (similarity >= correct).sum(dim=1) - 1  # [N]
    protocol = {"classes": len(classes), "templates": len(TEMPLATES)}
    measurements = []
    for k in ZERO_SHOT_RANKS:
        if k < len(classes):
            hits = Hits(rank < k, torch.arange(len(images)))
            measurements.append(
                _recall(f"zero_shot_hit{k}", hits, len(images), protocol, k / len(classes))
            )
    return measurements


def _recall(
    name: str,
    hits: Hits,
    images: int,
    protocol: Mapping[str, float],
    chance: float,
) -> Measurement:
    interval = wilson(float(hits.right.double().mean()), images)
    settings = {**protocol, "chance": round(chance, 6), "interval": INTERVAL}
    score = Score(name, *interval, images, settings)
    return Measurement(score, NO_PREDICTIONS, hits=hits)


def _chance_by_queries(k: int, images: int) -> float:
    """How often a query finds its one image in the top k of a random order."""
    return min(k / images, 1.0)


def _chance_by_images(k: int, images: int, queries: int) -> float:
    """How often an image, with as many queries as every other, finds one of them in the top k."""
    missed = 1.0
    own = queries / images
    for drawn in range(k):
        missed *= max(1 - own / max(queries - drawn, 1), 0.0)
    return 1 - missed
