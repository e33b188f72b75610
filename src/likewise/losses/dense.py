"""The contrastive losses as their formulas read: all similarities in one matrix.

What `likewise.losses` computes without that matrix is defined here, and tested against it. Slower, and O(N M) in
memory, but PyTorch can differentiate it as often as you like. Arguments and results are those of the functions of the
same name.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.losses.float32 import in_float32
from likewise.losses.input_checks import (
    UNKNOWN,
    Kind,
    check_can_teach,
    check_ids,
    check_temperature,
    shapes,
)
from likewise.losses.mil_nce import check_rows


@shapes(queries="N D", keys="M D", temperature="N 1")
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
    """`likewise.losses.info_nce`."""
    check_ids(queries, keys, query_id, key_id)
    check_temperature(temperature)
    logits = queries @ keys.T / temperature  # [N, M]
    same_id = query_id[:, None] == key_id[None, :]  # [N, M]
    is_known = (query_id != UNKNOWN)[:, None]  # [N, 1]
    compared = _compared(same_id, self_index)
    positive = same_id & is_known & compared
    logits = logits.masked_fill(~compared, -math.inf)

    count = positive.sum(dim=1)  # |P(i)|
    valid = count > 0
    check_can_teach(count, compared.sum(dim=1), kind)

    all_logsumexp = logits.logsumexp(dim=1)  # [N]
    if kind == "out":
        positive_logits = logits.masked_fill(~positive, 0)
        attraction = positive_logits.sum(dim=1) / count.clamp(min=1)
    else:
        # Rows without a positive would give log 0, and 0 * inf in the backward; they are counted out below.
        terms = positive | ~valid[:, None] & compared
        attraction = logits.masked_fill(~terms, -math.inf).logsumexp(dim=1)
        if kind == "in":
            attraction = attraction - count.clamp(min=1).to(logits.dtype).log()
    per_query = torch.where(valid, all_logsumexp - attraction, 0)
    return per_query.sum() / (valid.sum() if reduction == "valid" else len(queries))


@in_float32
def queue_nce(
    queries: Tensor, positives: Tensor, queue: Tensor, temperature: float | Tensor
) -> Tensor:
    """`likewise.losses.queue_nce`."""
    positive = (queries * positives.detach()).sum(dim=1, keepdim=True)  # [B, 1]
    negatives = queries @ queue.detach().T  # [B, K]
    logits = torch.cat([positive, negatives], dim=1) / temperature  # [B, 1 + K]
    first = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    return F.cross_entropy(logits, first)


@in_float32
def soft_nce(queries: Tensor, keys: Tensor, targets: Tensor, temperature: float | Tensor) -> Tensor:
    """`likewise.losses.soft_nce`."""
    log_prob = (queries @ keys.T / temperature).log_softmax(dim=1)  # [N, M]
    return -(targets.detach() * log_prob).sum(dim=1).mean()


@in_float32
def similarity_distillation(
    student: Tensor,
    teacher: Tensor,
    anchors: Tensor,
    student_temperature: float,
    teacher_temperature: float,
) -> Tensor:
    """`likewise.losses.similarity_distillation`."""
    anchors = anchors.detach()
    teacher_logits = teacher.detach() @ anchors.T / teacher_temperature  # [B, K]
    student_logits = student @ anchors.T / student_temperature  # [B, K]
    teacher_log = teacher_logits.log_softmax(dim=1)
    student_log = student_logits.log_softmax(dim=1)
    divergence = (teacher_log.exp() * (teacher_log - student_log)).sum(dim=1)  # [B]
    return divergence.mean()


@shapes(rows="B D", bags="B P D")
@in_float32
def mil_nce(rows: Tensor, bags: Tensor, temperature: float | Tensor) -> Tensor:
    """`likewise.losses.mil_nce`."""
    check_rows(rows, temperature)
    scores = torch.einsum("id,jld->ijl", rows, bags) / temperature  # [N, N, L]
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)
    # Of each bag with the other rows: [N, N, L], bags first.
    of_others = scores.masked_fill(itself[:, :, None], -math.inf).transpose(0, 1)
    compared = torch.cat([scores, of_others], dim=2).flatten(1)  # [N, N 2L]
    of_own_bag = scores.diagonal(dim1=0, dim2=1).logsumexp(dim=0)  # of [L, N]
    return (compared.logsumexp(dim=1) - of_own_bag).mean()


def _compared(like: Tensor, self_index: Tensor | None) -> Tensor:
    """Bool [N, M]: the keys that a query is compared with."""
    if self_index is None:
        return torch.ones_like(like)
    column = torch.arange(like.shape[1], device=like.device)
    return self_index[:, None] != column[None, :]
