"""Networks that are not trained but follow one that is."""

from __future__ import annotations

import copy

import torch
from torch import nn


def frozen_copy(student: nn.Module) -> nn.Module:
    """A copy that takes no gradient. It keeps the student's mode, so its batch normalisation uses its own batches."""
    teacher = copy.deepcopy(student)
    return teacher.requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Exponential moving average of parameters: teacher <- momentum * teacher + (1 - momentum) * student.

    Buffers are left alone: as in the MoCo, BYOL and ISD authors' code, a teacher's batch-norm statistics come from
    its own forward passes. Following after the optimiser's step equals following before the next forward.
    """
    for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
        mine.lerp_(theirs.detach(), 1 - momentum)
