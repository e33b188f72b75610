"""Teacher networks: exponential moving averages of a student."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from likewise.field_types import COUNT, SHARE, typed_arguments


@typed_arguments()
def make_ema_copy(student: nn.Module) -> nn.Module:
    """A copy that takes no gradient. It keeps the student's mode, so its batch normalisation uses its own batches."""
    teacher = copy.deepcopy(student)
    return teacher.requires_grad_(False)


@torch.no_grad()
@typed_arguments(momentum=SHARE)
def ema_update(
    teacher: nn.Module, student: nn.Module, momentum: float, copy_buffers: bool = False
) -> None:
    """Exponential moving average of parameters: teacher <- momentum * teacher + (1 - momentum) * student.

    An update after the optimiser's step equals one before the next forward pass.

    Args:
        teacher: updated in place.
        student: of the same architecture.
        momentum: share of the teacher that stays.
        copy_buffers: copy the student's buffers, for a teacher that is only evaluated. By default they are kept, as
            in the MoCo, BYOL and ISD authors' code: a teacher's batch-norm statistics come from its own forward passes.
    """
    averages = list(teacher.parameters())
    parameters = [parameter.detach() for parameter in student.parameters()]
    # On a GPU one launch for all of them, as in torch.optim.swa_utils.
    torch._foreach_lerp_(averages, parameters, 1 - momentum)  # type: ignore[call-overload, arg-type]
    if copy_buffers:
        for copied, buffer in zip(teacher.buffers(), student.buffers(), strict=True):
            copied.copy_(buffer)


@typed_arguments(step=COUNT, momentum=SHARE)
def momentum_at(step: int, momentum: float) -> float:
    """The momentum after so many steps, at most (1 + step) / (10 + step), so that short runs outgrow the first weights.

    The rule of TensorFlow's ``ExponentialMovingAverage``: 0.999 is reached after 9,000 steps.
    """
    return min(momentum, (1 + step) / (10 + step))


@typed_arguments(fraction=SHARE, momentum=SHARE)
def momentum_to_one(fraction: float, momentum: float) -> float:
    """The momentum after a share of the run, 0 to 1: from its first value to 1 by a cosine (BYOL, App. J)."""
    remaining = (math.cos(math.pi * fraction) + 1) / 2  # from 1 to 0
    return 1 - (1 - momentum) * remaining
