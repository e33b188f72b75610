"""Labels flipped on purpose, for a study of how much a method minds wrong ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError


def with_label_noise(
    labels: Tensor,
    ids: Sequence[str],
    share: float,
    classes: int,
    seed: int,
) -> Tensor:
    """Labels of which some are wrong: each with probability ``share``, and then any other class with equal probability.

    That is symmetric noise (van Rooyen et al. 2015, https://arxiv.org/abs/1505.07634). Whether a label is wrong,
    and what it becomes, depends on the seed and on the example's id alone: never on the order of the files or on which
    other labels are visible. So noise is nested: what is wrong at 10% is wrong at 20%, and equally so.

    Args:
        labels: int64 [N]; -1 stays.
        ids: N stable ids.
        share: probability of a wrong label, from 0 to below 1.
        classes: how many there are.
        seed: which labels are wrong.

    Returns:
        int64 [N], another tensor.

    Raises:
        LikewiseError: a share that is none, fewer than two classes, or no label to falsify.
    """
    if not 0 <= share < 1:
        raise LikewiseError(
            f"--label-noise {share} was given; it is a share from 0 to below 1, for instance 0.2."
        )
    if share == 0:
        return labels.clone()
    if classes < 2 or not bool((labels != UNLABELLED).any()):
        raise LikewiseError(
            f"--label-noise {share} was given, but training sees no labels of two classes or more, so there is "
            f"none to falsify. Show labels with --labels, or leave --label-noise out."
        )
    uniform = np.array([_two_uniform(seed, name) for name in ids]).reshape(-1, 2)
    wrong = torch.from_numpy(uniform[:, 0] < share) & (labels != UNLABELLED)
    steps = np.floor(uniform[:, 1] * (classes - 1)).astype(np.int64) + 1  # to any other class
    return torch.where(wrong, (labels + torch.from_numpy(steps)) % classes, labels)


def _two_uniform(seed: int, name: str) -> tuple[float, float]:
    """Two numbers in [0, 1) that belong to an example."""
    key = f"label noise {seed}\0{name}".encode(errors="surrogateescape")
    # 48 bits each, which a double holds exactly
    digest = hashlib.blake2b(key, digest_size=12).digest()
    first = int.from_bytes(digest[:6], "big")
    second = int.from_bytes(digest[6:], "big")
    return first / 2**48, second / 2**48
