"""The prototype of each example: assignments that use all prototypes equally, and their prediction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from likewise.counts import amount
from likewise.losses.distillation import soft_cross_entropy
from likewise.losses.float32 import in_float32
from likewise.losses.input_checks import (
    LossInputError,
    TensorForm,
    check_temperature,
    check_tensor,
    shapes,
)


@shapes(scores="B K")
@torch.no_grad()
@in_float32
def sinkhorn(scores: Tensor, epsilon: float = 0.05, iterations: int = 3) -> Tensor:
    """Soft assignments [N, K] that give every prototype about as much (Caron et al. 2020, Sec. 3.1, https://arxiv.org/abs/2006.09882).

    exp(scores / epsilon) is scaled in turns, so that each prototype (column) has the same sum and then each example
    (row). Done in logarithms, where the authors' code would overflow at a small epsilon in half precision, and
    underflow to a division by zero at a smaller one.

    Args:
        scores: [N, K] cosines of examples with prototypes; of all ranks, for balance is over the whole batch.
        epsilon: sharpness; smaller is closer to one prototype each (paper: 0.05).
        iterations: turns; 0 leaves a softmax (paper: 3).

    Returns:
        Rows that sum to 1; no gradient.
    """
    check_temperature(epsilon)
    return balanced(scores / epsilon, iterations)


def balanced(log_codes: Tensor, iterations: int) -> Tensor:
    """Exponentials of matrices [..., N, K], scaled in turns so that each column has the same sum, and then each row."""
    for _ in range(iterations):
        log_codes = log_codes.log_softmax(dim=-2).log_softmax(dim=-1)  # a launch each on a GPU
    return log_codes.softmax(dim=-1)


@shapes()
def swapped_prediction(
    scores: Sequence[Tensor], codes: Sequence[Tensor], temperature: float = 0.1
) -> Tensor:
    """Each view predicts the assignments of the others (Caron et al. 2020, Eqs. 1, 2 and 6, https://arxiv.org/abs/2006.09882).

    Args:
        scores: for each view [B, K] cosines with the prototypes.
        codes: for each of the first views [B, K] assignments; views beyond them only predict. No gradient.
        temperature: divides the cosines (paper: 0.1).

    Returns:
        Mean over codes, over the other views, and over examples of the cross-entropy.
    """
    check_temperature(temperature)
    form, sizes = TensorForm.parse("B K"), dict[str, int]()
    for name, views in (("scores", scores), ("codes", codes)):
        if not isinstance(views, list | tuple) or not views:
            raise LossInputError(
                f"swapped_prediction: {name} must be a list, a tensor for each view."
            )
        for view in views:
            check_tensor("swapped_prediction", name, view, form, sizes)
    if not 1 <= len(codes) <= len(scores) or len(scores) < 2:
        raise LossInputError(
            f"swapped_prediction needs two views or more, and codes for the first of them; got "
            f"{amount(len(scores), 'view')} and {amount(len(codes), 'code')}."
        )
    terms = [
        soft_cross_entropy(view / temperature, code)
        for i, code in enumerate(codes)
        for j, view in enumerate(scores)
        if i != j
    ]
    return torch.stack(terms).mean()
