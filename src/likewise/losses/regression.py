"""Losses that ask one vector to predict another."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from likewise.losses.float32 import in_float32


@in_float32
def cosine_regression(prediction: Tensor, target: Tensor) -> Tensor:
    """BYOL's loss in one direction: the mean of 2 - 2 cos (Grill et al. 2020, Eq. 2, https://arxiv.org/abs/2006.07733).

    Args:
        prediction: [B, D]; normalised here.
        target: [B, D]; normalised here, no gradient.
    """
    return 2 - 2 * F.cosine_similarity(prediction, target.detach(), dim=1).mean()
