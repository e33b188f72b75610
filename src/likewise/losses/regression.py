"""Losses that ask one vector to predict another."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from likewise.losses.float32 import in_float32, unit
from likewise.losses.fused import row_targets
from likewise.losses.fused.kernels_first import kernels_first
from likewise.losses.input_checks import LossInputError, may_wait, shapes


@shapes(prediction="B D", target="B D")
@kernels_first(row_targets.cosine_regression)
@in_float32
def cosine_regression(prediction: Tensor, target: Tensor) -> Tensor:
    """BYOL's loss in one direction: the mean of 2 - 2 cos (Grill et al. 2020, Eq. 2, https://arxiv.org/abs/2006.07733).

    Args:
        prediction: [B, D]; normalised here.
        target: [B, D]; normalised here, no gradient.
    """
    cosines = torch.linalg.vecdot(unit(prediction), unit(target.detach()))  # [B]
    return 2 - 2 * cosines.mean()


@in_float32
def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """SimSiam's loss in one direction: the mean of -cos (Chen & He 2021, Eq. 1, https://arxiv.org/abs/2011.10566).

    Args:
        prediction: [B, D]; normalised here.
        target: [B, D]; normalised here, no gradient.
    """
    return -functional.cosine_similarity(prediction, target.detach(), dim=1).mean()


@shapes(prediction="B T F", target="B T F", valid="B T real")
@in_float32
def masked_l1(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """The mean absolute error over all numbers of the valid frames (Ma et al. 2021, Sec. 2, LiRA).

    https://arxiv.org/abs/2106.09171

    Args:
        prediction: [B, T, F].
        target: [B, T, F]; no gradient.
        valid: [B, T], 0 where a clip has ended; not 0 everywhere.
    """
    if may_wait(valid) and not valid.any():
        raise LossInputError("valid is 0 everywhere, so no frame is left to learn from.")
    # A frame that is not valid may hold anything, NaN too, and 0 times NaN is NaN.
    differences = torch.where(valid[..., None] != 0, prediction - target.detach(), 0)  # [B, T, F]
    of_frames = differences.abs().mean(dim=2)  # [B, T]
    weight = valid.to(differences.dtype)
    return (of_frames * weight).sum() / weight.sum()


@shapes(prediction="B T F", target="B T F", valid="B T real")
@in_float32
def r2_score(prediction: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """The share of the valid frames' squares that is predicted, R^2 where the target's mean is 0: 1 is all, 0 none.

    Args:
        prediction: [B, T, F].
        target: [B, T, F], standardised on the training set.
        valid: [B, T].
    """
    weight = valid.to(prediction.dtype)[..., None]
    wrong = ((prediction - target).square() * weight).sum()
    return 1 - wrong / (target.square() * weight).sum()
