"""Rows with a bag of several positives, not all of which need fit, such as the locations of a sounding image.

Multiple-instance learning's noise contrast. The positives of a row count together by the sum of their exponentials, so
that one good location is enough; all other bags repel the row, and all other rows repel its bag.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses.float32 import in_float32
from likewise.losses.fused import against_keys
from likewise.losses.fused.kernels_first import kernels_first
from likewise.losses.input_checks import LossInputError, check_temperature, shapes
from likewise.losses.log_sums.similarity_sums import cross_logsumexp


@shapes(rows="B D", bags="B P D")
@kernels_first(against_keys.mil_nce)
@in_float32
def mil_nce(rows: Tensor, bags: Tensor, temperature: float | Tensor) -> Tensor:
    """MIL-NCE (Miech et al. 2020, Eq. 1, https://arxiv.org/abs/1912.06430), both ways in one denominator.

    With S_ijl = row_i . bag_jl / temperature::

        mean_i  log( sum_jl e^{S_ijl} + sum_{j != i, l} e^{S_jil} ) - log sum_l e^{S_iil}

    The public code of global-local contrast joins S and its transpose, which counts each row's own bag twice below the
    line, so that no row can lose less than log 2; here it is counted once, and a perfect match loses nothing. With one
    element a bag this is in-batch contrast: a row and its partner each against all others.

    No [N, N, L] is held (see `similarity_sums`).

    Args:
        rows: [N, D], of length 1 for cosines.
        bags: [N, L, D], the positives of each row, in the same order.
        temperature: divides the products; above 0; may be learned.

    Returns:
        A scalar in float32, or in float64 if the inputs are. It can be differentiated once; `dense.mil_nce` again.

    Raises:
        LossInputError: shapes do not fit, there are fewer than two rows, or the temperature is not positive.
    """
    check_rows(rows, temperature)
    count, size = bags.shape[:2]
    scaled = rows / temperature  # [N, D]
    elements = bags.flatten(0, 1)  # [N L, D]
    owner = torch.arange(count, device=rows.device).repeat_interleave(size)  # [N L]
    of_rows = cross_logsumexp(scaled, elements).all_logsumexp  # [N]
    of_elements = cross_logsumexp(
        elements, scaled, owner
    ).all_logsumexp  # [N L], the own row left out
    of_bags = of_elements.view(count, size).logsumexp(dim=1)  # [N]
    of_own_bag = torch.linalg.vecdot(scaled[:, None], bags).logsumexp(dim=1)  # [N]
    return (torch.logaddexp(of_rows, of_bags) - of_own_bag).mean()


def check_rows(rows: Tensor, temperature: float | Tensor) -> None:
    """Two rows or more, and a positive temperature."""
    check_temperature(temperature)
    if len(rows) < 2:
        raise LossInputError(
            f"mil_nce takes two rows or more, each with its bag; got rows {tuple(rows.shape)}."
        )
