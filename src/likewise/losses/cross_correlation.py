"""Losses on how the coordinates of two embeddings go together, instead of how examples do."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from likewise.losses.float32 import in_float32
from likewise.losses.input_checks import LossInputError, shapes

EPSILON = 1e-5
"""Added to variances: a constant coordinate has no direction."""


@shapes(first="B D", second="B D")
@in_float32
def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """[D, D]: the correlation over the batch of each coordinate of one view with each of the other.

    Args:
        first: [B, D]; coordinates are standardised here, over the rows given and by the biased variance.
        second: [B, D], row by row the same examples.
    """
    if len(first) < 2:
        raise LossInputError(
            f"A cross-correlation needs two views of 2 examples or more; got {tuple(first.shape)}."
        )
    return _standardised(first).T @ _standardised(second) / len(first)


@shapes(first="B D", second="B D")
@in_float32
def barlow_twins(first: Tensor, second: Tensor, off_diagonal: float = 0.0051) -> Tensor:
    """Each coordinate agrees with itself across views and with no other (Zbontar et al. 2021, Eq. 1, https://arxiv.org/abs/2103.03230).

    Args:
        first: [B, D], embeddings of one view; not normalised.
        second: [B, D], of the other.
        off_diagonal: weight of the correlations between different coordinates; the paper's lambda.

    Returns:
        The sum over coordinates, as in the paper: it grows with D, which optimisers without a layer-wise rate notice.
    """
    correlation = cross_correlation(first, second)
    own = correlation.diagonal()
    others = correlation.square().sum() - own.square().sum()
    return (1 - own).square().sum() + off_diagonal * others


def _standardised(z: Tensor) -> Tensor:
    return functional.batch_norm(z, None, None, training=True, eps=EPSILON)
