"""One contrastive function for every amount of labels: equal ids are positives.

Ids that are unique per image give the self-supervised losses (SimCLR, MoCo), class labels give the supervised ones
(SupCon, SuNCEt), and any mixture lies between. What a batch cannot teach is refused, never returned as a silent zero.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.errors import LikewiseError
from likewise.losses.float32 import in_float32

Kind = Literal["out", "in", "nca"]

UNKNOWN = -1
"""The id that equals nothing, not even another unknown: such rows are negatives to all, positives to none."""


class LossInputError(LikewiseError, ValueError):
    """A batch from which a loss cannot learn, or whose shapes do not fit."""


@in_float32
def info_nce(
    queries: Tensor,
    keys: Tensor,
    query_id: Tensor,
    key_id: Tensor,
    temperature: float | Tensor,
    own: Tensor | None = None,
    kind: Kind = "out",
    reduction: Literal["valid", "all"] = "valid",
) -> Tensor:
    """Pull each query towards the keys that share its id, away from all others.

    With s_ia = q_i . k_a / temperature, A(i) the keys without the query's own, P(i) those of A(i) with its id::

        out   -1/|P(i)| sum_{p in P(i)} log( e^{s_ip} / sum_{a in A(i)} e^{s_ia} )
        in    -log( 1/|P(i)| sum_{p in P(i)} e^{s_ip} / sum_{a in A(i)} e^{s_ia} )
        nca   -log( sum_{p in P(i)} e^{s_ip} / sum_{a in A(i)} e^{s_ia} )

    "out" and "in" are L_out and L_in of SupCon (Khosla et al. 2020, Eqs. 2 and 3, https://arxiv.org/abs/2004.11362);
    "nca" is the supervised term of SuNCEt (Assran et al. 2020, https://arxiv.org/abs/2006.10803). With one positive
    each the three agree, and are NT-Xent (Chen et al. 2020, Eq. 1, https://arxiv.org/abs/2002.05709).

    Args:
        queries: [N, D], used as given; every paper above normalises rows to unit length.
        keys: [M, D].
        query_id: int64 [N]; equal ids are positives. UNKNOWN (-1) equals nothing, not even another -1.
        key_id: int64 [M].
        temperature: divides the similarities; above 0.
        own: int64 [N], the column of each query's own key, which it is never compared with; -1 for none.
        kind: which of the three forms.
        reduction: "valid" is the mean over queries that have a positive; "all" divides by N instead, as the
            SupCon authors' code does since 2023.

    Returns:
        A scalar in float32, or in float64 if the inputs are.

    Raises:
        LossInputError: if shapes do not fit, the temperature is not positive, no query has a positive, or no
            query's loss could have a gradient (one image alone; one class only, for "in" and "nca").
            For "out" a batch of one class is defined: it asks for equal similarities.

    NaN in the input gives NaN. Differs from the authors' SupCon code: no factor temperature / 0.07, self-similarities
    are left out before the maximum is taken (theirs underflows at small temperatures), and the mean is over the
    queries that have a positive.
    """
    _check_shapes(queries, keys, query_id, key_id, temperature)
    logits = queries @ keys.T / temperature  # [N, M]
    positive = (query_id[:, None] == key_id[None, :]) & (query_id != UNKNOWN)[:, None]  # [N, M]
    compared = _without_own(positive, own)
    positive = positive & compared
    logits = logits.masked_fill(~compared, -math.inf)

    count = positive.sum(dim=1)  # |P(i)|
    valid = count > 0
    _check_can_teach(count, compared.sum(dim=1), kind)

    everyone = logits.logsumexp(dim=1)  # [N]
    if kind == "out":
        attraction = logits.masked_fill(~positive, 0).sum(dim=1) / count.clamp(min=1)
    else:
        # Rows without a positive would give log 0, and 0 * inf in the backward; they are counted out below.
        among = positive | ~valid[:, None] & compared
        attraction = logits.masked_fill(~among, -math.inf).logsumexp(dim=1)
        if kind == "in":
            attraction = attraction - count.clamp(min=1).to(logits.dtype).log()
    per_query = torch.where(valid, everyone - attraction, 0)
    return per_query.sum() / (valid.sum() if reduction == "valid" else len(queries))


@in_float32
def nt_xent(first: Tensor, second: Tensor, temperature: float | Tensor = 0.5, detach_keys: bool = False) -> Tensor:
    """SimCLR's loss over two views of B images (Chen et al. 2020, Algorithm 1, https://arxiv.org/abs/2002.05709).

    Args:
        first: [B, D] projections of the first view; normalised here.
        second: [B, D] projections of the second view, in the same order.
        temperature: divides the cosines.
        detach_keys: stop the gradient through the keys, as the SuNCEt authors' later code does. Half of the
            gradient is lost by it; off by default.

    Returns:
        The mean over the 2B rows; each has one positive and 2B - 2 negatives.
    """
    if first.shape != second.shape:
        raise LossInputError(
            f"nt_xent takes two views of the same images, [B, D] each; got {tuple(first.shape)} and "
            f"{tuple(second.shape)}."
        )
    image = torch.arange(len(first), device=first.device).repeat(2)
    return _among_themselves(torch.cat([first, second]), image, temperature, "out", detach_keys)


@in_float32
def sup_con(
    z: Tensor,
    labels: Tensor,
    temperature: float | Tensor = 0.1,
    kind: Literal["out", "in"] = "out",
    reduction: Literal["valid", "all"] = "valid",
) -> Tensor:
    """Supervised contrastive loss (Khosla et al. 2020, Eqs. 2 and 3, https://arxiv.org/abs/2004.11362).

    Args:
        z: projections [N, D], or [B, V, D] for V views of B images; normalised here.
        labels: int64 [N], or [B]; -1 means unlabelled. Views of one unlabelled image are each other's only
            positives (so all -1 is SimCLR); an unlabelled row of a flat [N, D] input has none.
        temperature: divides the cosines.
        kind: "out" is the paper's recommended form.
        reduction: see `info_nce`.
    """
    if z.dim() == 3:
        views = z.shape[1]
        _check_labels(labels, len(z), z)
        image = torch.arange(len(z), device=z.device)
        ids = torch.where(labels == UNKNOWN, -2 - image, labels)
        return _among_themselves(
            z.transpose(0, 1).flatten(0, 1), ids.repeat(views), temperature, kind, reduction=reduction
        )
    _check_labels(labels, len(z), z)
    return _among_themselves(z, labels, temperature, kind, reduction=reduction)


@in_float32
def suncet(z: Tensor, labels: Tensor, temperature: float | Tensor = 0.1) -> Tensor:
    """SuNCEt's supervised term on a class-balanced support batch (Assran et al. 2020, https://arxiv.org/abs/2006.10803).

    Args:
        z: [S, D] projections of labelled rows, at least two of each class; normalised here.
        labels: int64 [S].
        temperature: divides the cosines.

    Returns:
        -log of the summed probability of the same class, averaged over rows: L_in of SupCon less log |P|.
    """
    _check_labels(labels, len(z), z)
    return _among_themselves(z, labels, temperature, "nca")


@in_float32
def queue_nce(queries: Tensor, positives: Tensor, queue: Tensor, temperature: float | Tensor) -> Tensor:
    """MoCo's loss: one positive a query, the queue as negatives (He et al. 2020, Eq. 1, https://arxiv.org/abs/1911.05722).

    Args:
        queries: unit vectors [B, D].
        positives: unit vectors [B, D], the teacher's embedding of the same image; no gradient.
        queue: unit vectors [K, D] of earlier images; no gradient.
        temperature: divides the cosines.

    Other images of the batch are not negatives, unlike in `info_nce`; they become so through the queue.
    """
    _check_temperature(temperature)
    if len(queue) == 0:
        raise LossInputError("queue_nce was given an empty queue, so there is nothing to push away from.")
    own = (queries * positives.detach()).sum(dim=1, keepdim=True)  # [B, 1]
    logits = torch.cat([own, queries @ queue.detach().T], dim=1) / temperature  # [B, 1 + K]
    return F.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.int64, device=queries.device))


def _among_themselves(
    z: Tensor,
    ids: Tensor,
    temperature: float | Tensor,
    kind: Kind,
    detach_keys: bool = False,
    reduction: Literal["valid", "all"] = "valid",
) -> Tensor:
    """`info_nce` where every row is a query, and a key to all others."""
    unit = F.normalize(z, dim=1)
    own = torch.arange(len(unit), device=unit.device)
    keys = unit.detach() if detach_keys else unit
    return info_nce(unit, keys, ids, ids, temperature, own, kind, reduction)


def _without_own(like: Tensor, own: Tensor | None) -> Tensor:
    """Bool [N, M]: the keys that a query is compared with."""
    if own is None:
        return torch.ones_like(like)
    return own[:, None] != torch.arange(like.shape[1], device=like.device)[None, :]


def _check_shapes(queries: Tensor, keys: Tensor, query_id: Tensor, key_id: Tensor, temperature: float | Tensor) -> None:
    if queries.dim() != 2 or keys.dim() != 2 or queries.shape[1] != keys.shape[1]:
        raise LossInputError(
            f"queries [N, D] and keys [M, D] must share D; got {tuple(queries.shape)} and {tuple(keys.shape)}."
        )
    _check_labels(query_id, len(queries), queries, "query_id")
    _check_labels(key_id, len(keys), keys, "key_id")
    _check_temperature(temperature)


def _check_labels(labels: Tensor, rows: int, z: Tensor, name: str = "labels") -> None:
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.shape != (rows,):
        given = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        kind = f" of {labels.dtype}" if isinstance(labels, Tensor) else ""
        raise LossInputError(
            f"{name} must be a tensor of {rows} whole numbers, one for each row of {tuple(z.shape)}; got {given}{kind}."
            f" Turn class names into numbers first; -1 means unlabelled."
        )


def _check_temperature(temperature: float | Tensor) -> None:
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise LossInputError(f"temperature must be above 0, got {temperature}; the papers use 0.05 to 0.5.")


def _check_can_teach(positives: Tensor, compared: Tensor, kind: Kind) -> None:
    """Refuse a batch whose loss has no gradient whatever the network says."""
    if not bool((positives > 0).any()):
        raise LossInputError(
            f"None of the {len(positives)} queries has a positive: no two rows share an id. Give two views of each "
            f"image, or at least two examples of a class (a class-balanced batch)."
        )
    single = compared < 2 if kind == "out" else positives == compared
    if bool((single | (positives == 0)).all()):
        raise LossInputError(
            f"There is nothing to push apart: every key that the {len(positives)} queries are compared with is a "
            f"positive, so the gradient is zero whatever the network says. Give at least two images, and two classes "
            f"where labels are the ids."
        )
