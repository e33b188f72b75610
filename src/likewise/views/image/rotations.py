"""The four rotations of an image, and labels that name a class and a rotation at once."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.batch import UNLABELLED

ROTATIONS = 4
"""0, 90, 180 and 270 degrees."""


def four_rotations(pixels: Tensor) -> Tensor:
    """[B, C, S, S] -> [4B, C, S, S]: row 4b + j is image b turned j times by 90 degrees against the clock."""
    turned = [pixels.rot90(turns, (2, 3)) for turns in range(ROTATIONS)]
    return torch.stack(turned, dim=1).flatten(0, 1)


def joint_labels(labels: Tensor) -> Tensor:
    """int64 [B] -> int64 [4B]: the label of `four_rotations`' row 4b + j is 4 y_b + j; unlabelled rows stay so.

    The rotations of a class lie side by side, as in HSAKD's code (Yang et al. 2021, https://github.com/winycg/HSAKD).
    """
    joint = ROTATIONS * labels[:, None] + torch.arange(ROTATIONS, device=labels.device)
    return joint.masked_fill((labels == UNLABELLED)[:, None], UNLABELLED).flatten()


def class_logits(joint: Tensor) -> Tensor:
    """Logits of joint labels [N, 4C] -> of classes [N, C]: the sum over a class's rotations, as in HSAKD's code."""
    return joint.unflatten(1, (-1, ROTATIONS)).sum(dim=2)
