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
    positive = (query_id[:, None] == key_id[None, :]) & (query_id != UNKNOWN)[:, None]  # [N, M]
    compared = _compared(positive, self_index)
    positive = positive & compared
    logits = logits.masked_fill(~compared, -math.inf)

    count = positive.sum(dim=1)  # |P(i)|
    valid = count > 0
    check_can_teach(count, compared.sum(dim=1), kind)

    all_logsumexp = logits.logsumexp(dim=1)  # [N]
    if kind == "out":
        attraction = logits.masked_fill(~positive, 0).sum(dim=1) / count.clamp(min=1)
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
    self_index = (queries * positives.detach()).sum(dim=1, keepdim=True)  # [B, 1]
    logits = torch.cat([self_index, queries @ queue.detach().T], dim=1) / temperature  # [B, 1 + K]
    return F.cross_entropy(
        logits, torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    )


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
    teacher_log = (teacher.detach() @ anchors.detach().T / teacher_temperature).log_softmax(dim=1)
    student_log = (student @ anchors.detach().T / student_temperature).log_softmax(dim=1)
    return (teacher_log.exp() * (teacher_log - student_log)).sum(dim=1).mean()


@shapes(rows="B D", bags="B P D")
@in_float32
def mil_nce(rows: Tensor, bags: Tensor, temperature: float | Tensor) -> Tensor:
    """`likewise.losses.mil_nce`."""
    check_rows(rows, temperature)
    scores = torch.einsum("id,jld->ijl", rows, bags) / temperature  # [N, N, L]
    itself = torch.eye(len(rows), dtype=torch.bool, device=rows.device)[:, :, None]
    others = scores.masked_fill(itself, -math.inf).transpose(0, 1)
    all_logsumexp = torch.cat([scores, others], dim=2).flatten(1).logsumexp(dim=1)
    self_index = scores.diagonal(dim1=0, dim2=1).logsumexp(dim=0)  # of [L, N]
    return (all_logsumexp - self_index).mean()


def _compared(like: Tensor, self_index: Tensor | None) -> Tensor:
    """Bool [N, M]: the keys that a query is compared with."""
    if self_index is None:
        return torch.ones_like(like)
    return self_index[:, None] != torch.arange(like.shape[1], device=like.device)[None, :]
