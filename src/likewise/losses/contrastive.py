"""One contrastive function for every amount of labels: equal ids are positives.

Ids that are unique per image give the self-supervised losses (SimCLR, MoCo), class labels give the supervised ones
(SupCon, SuNCEt), or any mixture of both. What a batch cannot teach is refused, never returned as a silent zero.

Nothing of N x M is held: the sums over all keys come from `similarity_sums`, and those over positives, being linear
in the keys, from one sum of keys for each id.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from likewise.losses.float32 import in_float32, unit
from likewise.losses.fused import against_keys, against_queue, within_batch
from likewise.losses.fused.kernels_first import kernels_first
from likewise.losses.input_checks import (
    UNKNOWN,
    Kind,
    check_can_teach,
    check_classes,
    check_ids,
    check_kind,
    check_labels,
    check_temperature,
    nan_if_nothing_to_learn,
    shapes,
)
from likewise.losses.log_sums.similarity_sums import LogSums, cross_logsumexp, self_logsumexp
from likewise.losses.positives import Positives
from likewise.losses.row_means import mean_over_rows
from likewise.losses.waiting import may_wait


@shapes(queries="N D", keys="M D", temperature="N 1", self_index="N int")
@kernels_first(against_keys.info_nce)
@in_float32
def info_nce(
    queries: Tensor,
    keys: Tensor,
    query_id: Tensor,
    key_id: Tensor,
    temperature: float | Tensor,
    self_index: Tensor | None = None,
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
        temperature: divides the similarities; above 0; a tensor may be learned, and may be [N, 1].
        self_index: int64 [N], the column of each query's own key, which it is never compared with; -1 for none.
        kind: which of the three forms.
        reduction: "valid" is the mean over queries that have a positive; "all" divides by N instead, as the
            SupCon authors' code does since 2023.

    Returns:
        A scalar in float32, or in float64 if the inputs are. It can be differentiated once; `dense.info_nce` is the
        same and can be differentiated again.

    Raises:
        LossInputError: if shapes do not fit, the temperature is not positive, no query has a positive, or no
            query's loss could have a gradient (one image alone; one class only, for "in" and "nca").
            For "out" a batch of one class is defined: it asks for equal similarities. On a GPU the host does not
            wait to look at values: such a batch's loss is NaN, and a temperature that is a tensor is not checked.

    NaN in the input gives NaN. Differs from the authors' SupCon code: no factor temperature / 0.07, self-similarities
    are left out before the maximum is taken (theirs underflows at small temperatures), and the mean is over the
    queries that have a positive.
    """
    check_ids(queries, keys, query_id, key_id)
    check_temperature(temperature)
    check_kind(kind)
    is_same = keys is queries and key_id is query_id
    if is_same and _leaves_out_itself(self_index, len(queries)) and not _per_row(temperature):
        return _within_batch(queries / temperature**0.5, query_id, kind, reduction)
    positives = Positives.of(query_id, key_id, self_index)
    check_can_teach(positives.num_positives, positives.compared, kind)
    scaled = queries / temperature
    if kind != "out":
        sums = cross_logsumexp(scaled, keys, self_index, query_id, key_id)
        return _loss(sums, None, positives, kind, reduction)
    positive_sum = positives.summed(keys).index_select(0, positives.query_class)  # [N, D]
    if self_index is not None:
        own_key = keys.index_select(0, self_index.clamp(min=0))  # [N, D]
        positive_sum = positive_sum - own_key * positives.self_is_positive[:, None]
    positive_scores = (scaled * positive_sum).sum(dim=1)  # [N]
    attraction = (positive_scores * positives.share(scaled)).sum()
    sums = cross_logsumexp(scaled, keys, self_index)
    return _loss(sums, attraction, positives, kind, reduction)


@shapes(first="B D", second="B D")
@kernels_first(within_batch.nt_xent)
@in_float32
def nt_xent(
    first: Tensor, second: Tensor, temperature: float | Tensor = 0.5, detach_keys: bool = False
) -> Tensor:
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
    if len(first) < 2 or detach_keys:
        rows = unit(torch.cat([first, second]))
        image = torch.arange(len(first), device=first.device).repeat(2)
        itself = torch.arange(len(rows), device=rows.device)
        return info_nce(rows, rows.detach(), image, image, temperature, itself)
    check_temperature(temperature)
    scaled = unit(torch.cat([first, second]), temperature**-0.5)
    positive_scores = torch.linalg.vecdot(*scaled.chunk(2))  # [B]
    return self_logsumexp(scaled).all_logsumexp.mean() - positive_scores.mean()


@shapes(z="B D|B V D")
@kernels_first(within_batch.sup_con)
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
    check_temperature(temperature)
    check_kind(kind)
    check_labels(labels, len(z), z)
    check_classes(labels)
    if z.dim() == 3:
        _, views, _ = z.shape
        image = torch.arange(len(z), device=z.device)
        labels = torch.where(labels == UNKNOWN, -2 - image, labels).repeat(views)
        z = z.transpose(0, 1).flatten(0, 1)
    return _within_batch(unit(z, temperature**-0.5), labels, kind, reduction)


@shapes(z="B D")
@kernels_first(within_batch.suncet)
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
    check_labels(labels, len(z), z)
    check_classes(labels)
    check_temperature(temperature)
    return _within_batch(unit(z, temperature**-0.5), labels, "nca", "valid")


@shapes(queries="B D", positives="B D", queue="M D")
@mean_over_rows("queries", "positives")
@kernels_first(against_queue.queue_nce)
@in_float32
def queue_nce(
    queries: Tensor, positives: Tensor, queue: Tensor, temperature: float | Tensor
) -> Tensor:
    """MoCo's loss: one positive a query, the queue as negatives (He et al. 2020, Eq. 1, https://arxiv.org/abs/1911.05722).

    Args:
        queries: unit vectors [B, D].
        positives: unit vectors [B, D], the teacher's embedding of the same image; no gradient.
        queue: unit vectors [K, D] of earlier images; no gradient.
        temperature: divides the cosines.

    Other images of the batch are not negatives, unlike in `info_nce`; they become so through the queue.
    """
    check_temperature(temperature)
    scaled = queries / temperature
    of_positive = (scaled * positives.detach()).sum(dim=1)  # [B]
    of_queue = cross_logsumexp(scaled, queue.detach()).all_logsumexp  # [B]
    return (torch.logaddexp(of_positive, of_queue) - of_positive).mean()


def _within_batch(
    scaled: Tensor, ids: Tensor, kind: Kind, reduction: Literal["valid", "all"]
) -> Tensor:
    """`info_nce` where every row [N, D] is a query, and a key to all others; rows are over the temperature's root."""
    itself = torch.arange(len(scaled), device=scaled.device)
    positives = Positives.of(ids, ids, itself)
    check_can_teach(positives.num_positives, positives.compared, kind)
    if kind != "out":
        return _loss(self_logsumexp(scaled, ids), None, positives, kind, reduction)
    # Within a class, sum_i sum_{p != i} s_i . s_p = |sum_i s_i|^2 - sum_i |s_i|^2.
    share = positives.share(scaled)  # [N], one number for all rows of a class
    share_of_class = share.new_zeros(positives.classes).index_copy(0, positives.key_class, share)
    of_class = positives.summed(scaled).square().sum(dim=1)  # [classes]
    of_itself = scaled.square().sum(dim=1)  # [N]
    attraction = (of_class * share_of_class).sum() - (of_itself * share).sum()
    return _loss(self_logsumexp(scaled), attraction, positives, kind, reduction)


def _loss(
    sums: LogSums,
    attraction: Tensor | None,
    positives: Positives,
    kind: Kind,
    reduction: Literal["valid", "all"],
) -> Tensor:
    """The mean over queries that have a positive; ``attraction`` is summed over them, and comes with "out" alone."""
    valid = positives.num_positives > 0
    repulsion = torch.where(valid, sums.all_logsumexp, 0).sum()
    if attraction is None:
        assert sums.positives_logsumexp is not None
        positives_logsumexp = sums.positives_logsumexp
        if kind == "in":
            count = positives.num_positives.clamp(min=1).to(positives_logsumexp.dtype)
            positives_logsumexp = positives_logsumexp - count.log()
        attraction = torch.where(valid, positives_logsumexp, 0).sum()
    counted = valid.sum() if reduction == "valid" else len(valid)
    loss = (repulsion - attraction) / counted
    return nan_if_nothing_to_learn(loss, positives.num_positives, positives.compared, kind)


def _leaves_out_itself(self_index: Tensor | None, rows: int) -> bool:
    """Whether it is known to be 0 to N - 1."""
    if self_index is None or len(self_index) != rows or not may_wait(self_index):
        return False
    return torch.equal(self_index, torch.arange(rows, device=self_index.device))


def _per_row(temperature: float | Tensor) -> bool:
    return isinstance(temperature, Tensor) and temperature.numel() > 1
