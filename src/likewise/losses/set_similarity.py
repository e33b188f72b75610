"""Contrast between sets of locations of two views, against a queue of earlier images."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses.float32 import in_float32
from likewise.losses.fused import location_sets
from likewise.losses.fused.kernels_first import kernels_first
from likewise.losses.input_checks import check_temperature, shapes
from likewise.losses.log_sums.similarity_sums import cross_logsumexp
from likewise.losses.row_means import mean_over_rows
from likewise.losses.waiting import may_wait


@shapes(locations="B U D", partners="B V D", matched="B U V real", queue="M D")
@mean_over_rows("locations", "partners", "matched")
@kernels_first(location_sets.set_similarity)
@in_float32
def set_similarity(
    locations: Tensor, partners: Tensor, matched: Tensor, queue: Tensor, temperature: float | Tensor
) -> Tensor:
    """Pull each location towards all its partners in the other view, away from the queue.

    With s_uv = q_u . k_v / temperature, V(u) the partners of u, and U(b) the locations of image b that have any::

        l_u  = 1/|V(u)| sum_{v in V(u)} -log( e^{s_uv} / (sum_{w in V(u)} e^{s_uw} + sum_{j in queue} e^{s_uj}) )
        loss = mean_b 1/|U(b)| sum_{u in U(b)} l_u

    Wang et al. 2021, Sec. 3, https://arxiv.org/abs/2107.08712: SupCon's L_out for every location. Locations of the
    other view that do not match are left out. The authors' code exponentiates without subtracting a maximum.

    Args:
        locations: unit vectors [B, U, D] of one view's locations.
        partners: unit vectors [B, V, D] of the other's, from the teacher; no gradient.
        matched: [B, U, V], true or not 0 where two locations match.
        queue: unit vectors [K, D] of earlier images; no gradient.
        temperature: divides the cosines.

    Returns:
        A scalar; an image without any pair counts as 0, as in the authors' code.
    """
    check_temperature(temperature)
    pairs = matched.bool()  # [B, U, V]
    anchored = pairs.any(dim=2)  # [B, U]
    count = anchored.sum(dim=1, keepdim=True).clamp(min=1)
    share = anchored.to(locations.dtype) / count  # [B, U]: of its image; 0 without a partner
    scaled = locations / temperature
    scores = scaled @ partners.detach().mT  # [B, U, V]
    if may_wait(anchored):
        # The R locations with a partner, of all images.
        scores, pairs = scores[anchored], pairs[anchored]  # [R, V]
        scaled, share = scaled[anchored], share[anchored]  # [R, D], [R]
    else:
        # How many rows are left out is not known here, so all R = B U are computed, with any partners.
        pairs = (pairs | ~anchored[:, :, None]).flatten(0, 1)
        scores, scaled = scores.flatten(0, 1), scaled.flatten(0, 1)
        share = share.flatten()
    of_partners = scores.masked_fill(~pairs, -torch.inf).logsumexp(dim=1)  # [R]
    of_queue = cross_logsumexp(scaled, queue.detach()).all_logsumexp  # [R]
    all_logsumexp = torch.logaddexp(of_partners, of_queue)
    attraction = scores.masked_fill(~pairs, 0).sum(dim=1) / pairs.sum(dim=1)
    return ((all_logsumexp - attraction) * share).sum() / len(locations)
