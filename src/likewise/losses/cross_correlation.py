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
    return _products(first, second) / len(first)


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
    rows = len(first)
    difference = _products(first, second)
    difference.detach().diagonal().sub_(
        rows
    )  # from the identity, times the rows; a constant has no gradient
    of_all, of_own = _squares(difference), _squares(difference.diagonal())
    return of_all.lerp(of_own, 1 - off_diagonal) / rows**2


def _products(first: Tensor, second: Tensor) -> Tensor:
    """[D, D]: of standardised coordinates, summed over the rows."""
    if len(first) < 2:
        raise LossInputError(
            f"A cross-correlation needs two views of 2 examples or more; got {tuple(first.shape)}."
        )
    return _standardised(first).T @ _standardised(second)


def _standardised(z: Tensor) -> Tensor:
    return functional.batch_norm(z, None, None, training=True, eps=EPSILON)


def _squares(values: Tensor) -> Tensor:
    """Their sum; one operation of PyTorch each way."""
    nothing = values.new_zeros(()).expand_as(values)
    return functional.mse_loss(values, nothing, reduction="sum")
