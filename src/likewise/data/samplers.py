"""Which examples make up a step: pure functions of (seed, step), so that a resumed run draws what it would have drawn.

Every function gives the positions of the whole global batch; each rank takes its slice.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.data.classes import class_counts
from likewise.errors import LikewiseError
from likewise.field_types import SEED, SIZE, typed_arguments
from likewise.randomness import generator


def shuffled(count: int, batch_size: int, seed: int, step: int) -> Tensor:
    """int64 [batch_size]: one permutation an epoch, ``count // batch_size`` steps long; its rest is left out.

    Another rest is left out in every epoch, so no example is lost to a long run.
    """
    epoch, turn = divmod(step, count // batch_size)
    start = turn * batch_size
    return _permutation(count, seed, epoch)[start : start + batch_size]


@lru_cache(maxsize=4)
def _permutation(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=generator(seed, "shuffled", epoch))


class ClassBalanced:
    """Labelled batches with as many images of each class: the support of SuNCEt and PAWS.

    The stratified sampler of https://github.com/facebookresearch/suncet as a pure function of the step. A permutation
    of the classes deals ``classes_per_batch`` a step and is then drawn anew; where that does not divide the number of
    classes, the rest of a permutation is left out (the authors' code refuses the case). Within a class images are
    drawn without replacement until fewer than ``images_per_class`` are left. A class with fewer images than that shows
    each of them about equally often, and only then an image occurs twice in a batch.

    Args:
        labels: int64 [N]; -1 is never drawn.
        classes_per_batch: how many classes are in a batch.
        images_per_class: how many images of each.
        seed: which images are drawn.

    Raises:
        LikewiseError: fewer classes have labels than are requested.
    """

    @typed_arguments(classes_per_batch=SIZE, images_per_class=SIZE, seed=SEED)
    def __init__(
        self, labels: Tensor, classes_per_batch: int, images_per_class: int, seed: int
    ) -> None:
        if labels.ndim != 1 or labels.is_floating_point() or labels.is_complex():
            raise LikewiseError(
                f"labels: a tensor {tuple(labels.shape)} of {labels.dtype} was given; give int64 [N]."
            )
        self.classes_per_batch = classes_per_batch
        self.images_per_class = images_per_class
        self.seed = seed
        classes = sorted(class_counts(labels))
        self._members = [torch.nonzero(labels == label).flatten() for label in classes]
        if not self._members:
            raise LikewiseError(
                "A class-balanced support batch was requested, but no training example shows a label. Give a label "
                "budget above none, or a method that needs no labels."
            )
        if not 1 <= classes_per_batch <= len(self._members) or images_per_class < 1:
            raise LikewiseError(
                f"A support batch of {classes_per_batch} classes x {images_per_class} images was requested, but "
                f"{amount(len(self._members), 'class', 'classes')} have labels. Choose 1 to "
                f"{amount(len(self._members), 'class', 'classes')} and 1 or more images "
                f"(--method.classes-per-batch, --method.images-per-class), or show labels of more classes."
            )

    def __call__(self, step: int) -> Tensor:
        """int64 [classes x images]: positions, interleaved as c1..cC, c1..cC, ..."""
        classes = len(self._members)
        round_, turn = divmod(step, classes // self.classes_per_batch)
        order = torch.randperm(classes, generator=generator(self.seed, "support classes", round_))
        start = turn * self.classes_per_batch
        drawn = order[start : start + self.classes_per_batch].tolist()
        return torch.stack([self._images(c, round_) for c in drawn], dim=1).flatten()

    def _images(self, which: int, draw: int) -> Tensor:
        """int64 [images]: the given draw from one class."""
        members = self._members[which]
        wanted = self.images_per_class
        epoch, turn = divmod(draw, max(1, len(members) // wanted))
        rng = generator(self.seed, "support images", which, epoch)
        repeats = math.ceil(wanted / len(members))
        order = torch.cat([torch.randperm(len(members), generator=rng) for _ in range(repeats)])
        start = turn * wanted
        return members[order[start : start + wanted]]


def long_tailed(labels: Tensor, ratio: float, seed: int) -> Tensor:
    """Positions of a subset whose class sizes fall off exponentially, the first class being ``ratio`` times the last.

    Class k of K keeps n * ratio ** (-k / (K - 1)) of its images, n being the smallest class's size, so that the
    profile is the requested one whatever the sizes were (Cui et al. 2019, arXiv 1901.05555, section 5.1, where all
    sizes are equal). Every class keeps one image at least; the unlabelled are left out.
    """
    _check_ratio(ratio)
    counts = class_counts(labels)
    most = min(counts.values())
    steps = max(1, len(counts) - 1)
    sizes = {c: most * ratio ** (-k / steps) for k, c in enumerate(sorted(counts))}
    return _subset(labels, sizes, seed)


def step_imbalanced(labels: Tensor, rare_classes: int | float, ratio: float, seed: int) -> Tensor:
    """Positions of a subset in which some classes, the last ones, are ``ratio`` times rarer than the others.

    Args:
        labels: int64 [N]; the unlabelled are left out.
        rare_classes: how many classes are rare, or which share of them (a float below 1).
        ratio: images of a frequent class for one of a rare class (Buda et al. 2018, arXiv 1710.05381, section 3.2).
        seed: which images are chosen.
    """
    _check_ratio(ratio)
    counts = class_counts(labels)
    rare = round(rare_classes * len(counts)) if isinstance(rare_classes, float) else rare_classes
    if not 0 <= rare <= len(counts):
        raise LikewiseError(
            f"step_imbalanced: {rare_classes} rare classes of {len(counts)}; choose 0 to {len(counts)}."
        )
    most = min(counts.values())
    frequent = sorted(counts)[: len(counts) - rare]
    sizes = {c: most if c in frequent else most / ratio for c in counts}
    return _subset(labels, sizes, seed)


def _check_ratio(ratio: float) -> None:
    if ratio < 1:
        raise LikewiseError(
            f"An imbalance ratio of {ratio} was given; choose 1 (balanced) or more, for instance 100."
        )


def _subset(labels: Tensor, sizes: dict[int, float], seed: int) -> Tensor:
    """Sorted positions of a random subset with given class sizes, nested for one seed."""
    chosen = []
    for c, size in sizes.items():
        members = torch.nonzero(labels == c).flatten()
        order = torch.randperm(len(members), generator=generator(seed, "imbalance", c))
        kept = max(1, round(size))
        chosen.append(members[order[:kept]])
    if not chosen:
        return torch.zeros(0, dtype=torch.int64)
    return torch.cat(chosen).sort().values
