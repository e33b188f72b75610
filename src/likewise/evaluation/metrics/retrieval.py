"""Texts find images and images find texts: how often the right one is among the first few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from likewise.errors import LikewiseError
from likewise.evaluation.statistics.confidence import wilson
from likewise.evaluation.statistics.scores import Hits, Measurement, Score, require_usable

RANKS = (1, 5, 10)
"""How many of the first answers are looked at (Karpathy and Fei-Fei 2015, https://arxiv.org/abs/1412.2306)."""

TEMPLATES = ("{}", "a photo of a {}", "a photo of the {}", "an image of a {}", "a picture of a {}")
"""What is said of a class in words; the vectors are averaged, as CLIP's authors do with eighty of them."""

QUERIES_AT_A_TIME = 1024
"""rows of likenesses that are held at once"""

INTERVAL = "Wilson 1927 score interval over test images, 95 %; captions of one image are not independent"


class Ranks(NamedTuple):
    """How many answers are at least as alike as the right one, itself not counted; 0 is found at once."""

    of_texts: Tensor
    """int64 [M], for each text the rank of its image"""
    of_images: Tensor
    """int64 [N], for each image the rank of the best of its texts"""
    owner: Tensor
    """int64 [M], the image of each text"""


def ranks(images: Tensor, texts: Tensor, owner: Tensor) -> Ranks:
    """Ranks both ways. What is as alike as the right answer counts against it, so a collapse finds nothing.

    Args:
        images: unit vectors [N, D].
        texts: unit vectors [M, D].
        owner: int64 [M], the image of each text; every image has one or more.
    """
    require_usable(images, "images'")
    require_usable(texts, "texts'")
    of_texts, best = [], torch.full((len(images),), -torch.inf)
    for part, whose in zip(texts.split(QUERIES_AT_A_TIME), owner.split(QUERIES_AT_A_TIME), strict=True):
        likeness = part @ images.T
        right = likeness.gather(1, whose[:, None])
        of_texts.append((likeness >= right).sum(dim=1) - 1)
        best.scatter_reduce_(0, whose, right.flatten(), "amax")
    if bool(best.isinf().any()):
        raise LikewiseError(f"{int(best.isinf().sum())} of the {len(images)} images have no text to be found by.")
    of_images = torch.zeros(len(images), dtype=torch.int64)
    for part, whose in zip(texts.split(QUERIES_AT_A_TIME), owner.split(QUERIES_AT_A_TIME), strict=True):
        likeness = images @ part.T  # [N, m]
        ahead = likeness >= best[:, None]
        ahead[whose, torch.arange(len(part))] = False  # its own texts are never in the way
        of_images += ahead.sum(dim=1)
    return Ranks(torch.cat(of_texts), of_images, owner)


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
    """What is looked for by what, in words."""

    names: tuple[str, str] = ("text_to_image", "image_to_text")
    """of the scores, texts -> images first"""
    counted: tuple[str, str] = ("images", "texts")
    """entries of the protocol"""


def measure_retrieval(found: Ranks, sides: RetrievalDirections | None = None) -> list[Measurement]:
    """Recall at 1, 5 and 10, texts -> images and images -> texts, or whatever ``sides`` calls them."""
    names, counted = sides or RetrievalDirections()
    images, texts = len(found.of_images), len(found.of_texts)
    counts = dict(zip(counted, (images, texts), strict=True))
    ways = (
        (found.of_texts, found.owner, _missed_by_texts),
        (found.of_images, torch.arange(images), _missed_by_images),
    )
    return [
        _outcome(f"{name}_r{k}", Hits(of < k, owner), images, {**counts, "chance": round(chance, 6)})
        for name, (of, owner, misses) in zip(names, ways, strict=True)
        for k in RANKS
        if (chance := 1 - misses(k, images, texts)) < 1
    ]


def measure_zero_shot(
    images: Tensor, classes: Tensor, labels: Tensor, ranks: Sequence[int] = (1, 5)
) -> list[Measurement]:
    """Classes that are named by words alone: flat hit@k, the share of images whose class is among the first k.

    Cheng et al. 2021, Sec. 4, https://arxiv.org/abs/2104.08945.

    Args:
        images: unit vectors [N, D].
        classes: unit vectors [C, D], one for each class.
        labels: int64 [N].
        ranks: each k; those that are not below the number of classes are left out.
    """
    require_usable(images, "images'")
    likeness = images @ classes.T
    ahead = (likeness >= likeness.gather(1, labels[:, None])).sum(dim=1) - 1
    protocol, each = {"classes": len(classes), "templates": len(TEMPLATES)}, torch.arange(len(images))
    asked = [(k, {**protocol, "chance": round(k / len(classes), 6)}) for k in ranks if k < len(classes)]
    return [_outcome(f"zero_shot_hit{k}", Hits(ahead < k, each), len(images), words) for k, words in asked]


def _outcome(name: str, hits: Hits, images: int, protocol: dict[str, float]) -> Measurement:
    value, low, high = wilson(float(hits.right.double().mean()), images)
    score = Score(name, value, low, high, images, {**protocol, "interval": INTERVAL})
    return Measurement(score, torch.zeros(0), hits=hits)


def _missed_by_texts(k: int, images: int, texts: int) -> float:
    """How often a text misses its one image among the first k in any order."""
    return max(1 - k / images, 0.0)


def _missed_by_images(k: int, images: int, texts: int) -> float:
    """How often an image with as many texts as all others misses all of them."""
    missed, own = 1.0, texts / images
    for drawn in range(k):
        missed *= max(1 - own / max(texts - drawn, 1), 0.0)
    return missed
