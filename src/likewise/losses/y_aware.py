"""Contrast in proportion to the similarity of targets."""

from __future__ import annotations

from torch import Tensor

from likewise.losses.distillation import soft_nce
from likewise.losses.float32 import in_float32, unit
from likewise.losses.input_checks import shapes


@shapes(first="B D", second="B D", similarity="B B")
@in_float32
def y_aware_nce(
    first: Tensor, second: Tensor, similarity: Tensor, temperature: float | Tensor = 0.1
) -> Tensor:
    """Each view attracts the other views of all images, weighted by how similar their targets are.

    With w_ij = similarity_ij / sum_k similarity_ik and s_ij = cos(first_i, second_j) / temperature::

        loss = mean over i, and over both directions, of -sum_j w_ij log( e^{s_ij} / sum_k e^{s_ik} )

    Dufumier et al. 2021, Eq. 3, https://arxiv.org/abs/2106.08808, but for the constant log N. With the identity as
    similarity it is InfoNCE between the two views.

    Args:
        first: [N, D] embeddings of one view; normalised here.
        second: [N, D] embeddings of another view of the same images.
        similarity: [N, N] symmetric, 0 or more, above 0 on the diagonal; no gradient.
        temperature: divides the cosines.
    """
    weights = similarity / similarity.sum(dim=1, keepdim=True)  # [N, N]
    first, second = unit(first), unit(second)
    forth = soft_nce(first, second, weights, temperature)
    back = soft_nce(second, first, weights, temperature)
    return (forth + back) / 2
