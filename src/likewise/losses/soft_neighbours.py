"""Class probabilities from similarity to labelled examples, and losses that learn from such predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.collectives import over_ranks
from likewise.counts import amount
from likewise.losses.float32 import in_float32
from likewise.losses.fused import support_classes
from likewise.losses.fused.kernels_first import kernels_first
from likewise.losses.input_checks import (
    LossInputError,
    check_classes,
    check_labels,
    check_temperature,
    shapes,
)
from likewise.losses.positives import numbered
from likewise.losses.waiting import may_wait, transformed


@shapes(queries="B D", support="S D")
@in_float32
def soft_neighbours(
    queries: Tensor,
    support: Tensor,
    labels: Tensor,
    temperature: float = 0.1,
    smoothing: float = 0.1,
    classes: int | None = None,
) -> Tensor:
    """Class probabilities by a softmax over labelled neighbours (PAWS; Assran et al. 2021, Eq. 1, https://arxiv.org/abs/2104.13963).

    Args:
        queries: unit vectors [N, D].
        support: unit vectors [M, D].
        labels: [M] whole numbers, the class of each support row; -1 is refused.
        temperature: divides the cosines.
        smoothing: share of each label that is spread over all classes of the support.
        classes: C, no fewer than there are classes in the support; None: as many as there are. Where the host would
            have to wait for their count (on a GPU, and while a compiler traces), None is M.

    Returns:
        [N, C], rows sum to 1: the classes in the support, in the order of their numbers, and zeros if C is more.

    Raises:
        LossInputError: shapes do not fit, a row of the support has no label, or there are more classes than C. On a GPU
            the device raises for values, and the host does not wait.
    """
    check_temperature(temperature)
    check_labels(labels, len(support), support)
    membership = _membership(labels, smoothing, classes, queries.dtype)
    return over_ranks(_vote, (queries,), support, membership, temperature)


@kernels_first(support_classes.membership)
def _membership(
    labels: Tensor, smoothing: float, classes: int | None, dtype: torch.dtype
) -> Tensor:
    """[M, C]: each row's smoothed label, of the classes that there are."""
    column, found = numbered(labels)
    classes = found if classes is None else classes
    last = column.max()
    _check_support(labels, last, classes)
    every = torch.arange(classes, device=labels.device)
    belongs = (column[:, None] == every).to(dtype)  # [M, C]
    is_there = (every <= last).to(dtype)  # [C]
    return belongs * (1 - smoothing) + smoothing * is_there / is_there.sum()


def _check_support(labels: Tensor, last: Tensor, classes: int) -> None:
    """Every row has a label, and the number of its last class is below C; on a GPU the device raises, nothing waits."""
    if may_wait(labels):
        check_classes(labels)
        missing = int((labels < 0).sum())
        if missing:
            raise LossInputError(
                f"soft_neighbours: {missing} of the support's {amount(len(labels), 'row')} have no label. Leave "
                f"those out."
            )
        if int(last) >= classes:
            raise LossInputError(
                f"soft_neighbours: the support is of {int(last) + 1} classes, which are more than "
                f"classes={classes}. Give more."
            )
    elif labels.is_cuda and not transformed():
        support_classes.refuse_wrong_labels((labels.min() >= 0) & (last < classes), classes)


def _vote(queries: Tensor, support: Tensor, membership: Tensor, temperature: float) -> Tensor:
    """[N, C] from queries [N, D], support [M, D] and the classes of its rows [M, C]."""
    return (queries @ support.T / temperature).softmax(dim=1) @ membership


@shapes(probabilities="B C")
@in_float32
def sharpen(probabilities: Tensor, temperature: float = 0.25) -> Tensor:
    """[N, C] to the power of 1 / temperature, rows made to sum to 1 again; in logarithms, so nothing underflows.

    Assran et al. 2021, Sec. 3.1, https://arxiv.org/abs/2104.13963.
    """
    check_temperature(temperature)
    return (_log(probabilities) / temperature).softmax(dim=1)


@shapes(predictions="B C", targets="B C")
@in_float32
def probability_cross_entropy(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of -sum_c t_c log p_c.

    Args:
        predictions: [N, C] probabilities, not logits.
        targets: [N, C] probabilities; no gradient.
    """
    return -(targets.detach() * _log(predictions)).sum(dim=1).mean()


@shapes(probabilities="B C")
@in_float32
def mean_entropy(probabilities: Tensor) -> Tensor:
    """Entropy of the mean row of [N, C]: ln C where all classes are predicted equally often, 0 where one always is.

    Assran et al. 2021, Sec. 3.2, https://arxiv.org/abs/2104.13963, make it as large as they can ("me-max").
    """
    mean = probabilities.mean(dim=0)
    return -(mean * _log(mean)).sum()


def _log(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
