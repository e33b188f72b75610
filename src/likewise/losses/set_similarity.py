"""Contrast between sets of places of two views, against a queue of earlier images."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses.float32 import in_float32
from likewise.losses.input_checks import LossInputError, check_temperature
from likewise.losses.similarity_sums import cross_logsumexp


@in_float32
def set_similarity(
    places: Tensor, partners: Tensor, matched: Tensor, queue: Tensor, temperature: float | Tensor
) -> Tensor:
    """Pull each place towards all its partners in the other view, away from the queue.

    With s_uv = q_u . k_v / temperature, V(u) the partners of u, and U(b) the places of image b that have any::

        l_u  = 1/|V(u)| sum_{v in V(u)} -log( e^{s_uv} / (sum_{w in V(u)} e^{s_uw} + sum_{j in queue} e^{s_uj}) )
        loss = mean_b 1/|U(b)| sum_{u in U(b)} l_u

    Wang et al. 2021, Sec. 3, https://arxiv.org/abs/2107.08712: SupCon's L_out for every place. Places of the other view
    that are no partners are neither pulled nor pushed. The authors' code exponentiates without subtracting a maximum.

    Args:
        places: unit vectors [B, U, D] of one view's places.
        partners: unit vectors [B, V, D] of the other's, from the teacher; no gradient.
        matched: [B, U, V], true or not 0 where two places belong together.
        queue: unit vectors [K, D] of earlier images; no gradient.
        temperature: divides the cosines.

    Returns:
        A scalar; an image without any pair counts as 0, as in the authors' code.
    """
    check_temperature(temperature)
    if matched.shape != (*places.shape[:2], partners.shape[1]):
        raise LossInputError(
            f"set_similarity: matched is {list(matched.shape)}, but there are {list(places.shape[:2])} places and "
            f"{list(partners.shape[:2])} partners; [B, U, V] is needed."
        )
    if len(queue) == 0:
        raise LossInputError("set_similarity was given an empty queue, so there is nothing to push away from.")
    together = matched.bool()
    anchored = together.any(dim=2)  # [B, U]
    scaled = places / temperature
    alike = (scaled @ partners.detach().mT)[anchored]  # [R, V]
    together, anchors = together[anchored], scaled[anchored]
    pushed = cross_logsumexp(anchors, queue.detach()).all_logsumexp
    all_logsumexp = torch.logaddexp(alike.masked_fill(~together, -torch.inf).logsumexp(dim=1), pushed)
    pulled = alike.masked_fill(~together, 0).sum(dim=1) / together.sum(dim=1)
    share = anchored.sum(dim=1).to(scaled.dtype).reciprocal()[anchored.nonzero()[:, 0]]
    return ((all_logsumexp - pulled) * share).sum() / len(places)
