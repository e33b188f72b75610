"""Losses against soft targets: one row of probabilities for each query."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from likewise.losses.float32 import in_float32
from likewise.losses.fused import against_keys, against_queue, row_targets
from likewise.losses.fused.kernels_first import kernels_first
from likewise.losses.input_checks import check_temperature, shapes
from likewise.losses.log_sums.similarity_sums import cross_logsumexp, mean_key
from likewise.losses.row_means import mean_over_rows


@shapes(logits="B C", targets="B C")
@kernels_first(row_targets.soft_cross_entropy)
@in_float32
def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of -sum_c t_c log softmax(logits)_c.

    Args:
        logits: [N, C].
        targets: [N, C] probabilities; no gradient flows into them.
    """
    log_probabilities = logits.log_softmax(dim=1)
    return -(targets.detach() * log_probabilities).sum(dim=1).mean()


@shapes(student="B C", teacher="B C")
@kernels_first(row_targets.knowledge_distillation)
@in_float32
def knowledge_distillation(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(teacher / T) || softmax(student / T)), mean over rows (Hinton et al. 2015, Sec. 2, https://arxiv.org/abs/1503.02531).

    The factor T^2 keeps the gradient's size when the temperature changes, for softening divides it by about that.

    Args:
        student: logits [N, C].
        teacher: logits [N, C]; no gradient.
        temperature: T, divides both.
    """
    check_temperature(temperature)
    student_log = (student / temperature).log_softmax(dim=1)
    teacher_log = (teacher.detach() / temperature).log_softmax(dim=1)
    return temperature**2 * F.kl_div(
        student_log, teacher_log, reduction="batchmean", log_target=True
    )


@shapes(queries="B D", keys="M D", targets="B M")
@mean_over_rows("queries", "targets")
@kernels_first(against_keys.soft_nce)
@in_float32
def soft_nce(queries: Tensor, keys: Tensor, targets: Tensor, temperature: float | Tensor) -> Tensor:
    """Contrast with soft targets: cross-entropy of softmax(q . k / temperature) against given probabilities.

    Args:
        queries: unit vectors [N, D].
        keys: unit vectors [M, D].
        targets: [N, M], rows sum to 1; no gradient.
        temperature: divides the cosines.
    """
    check_temperature(temperature)
    scaled, targets = queries / temperature, targets.detach().to(queries.dtype)
    expected = (scaled * (targets @ keys)).sum(dim=1)  # sum_a t_ia s_ia, linear in the keys
    return (targets.sum(dim=1) * cross_logsumexp(scaled, keys).all_logsumexp - expected).mean()


@shapes(student="B D", teacher="B D", anchors="M D")
@mean_over_rows("student", "teacher")
@kernels_first(against_queue.similarity_distillation)
@in_float32
def similarity_distillation(
    student: Tensor,
    teacher: Tensor,
    anchors: Tensor,
    student_temperature: float = 0.02,
    teacher_temperature: float = 0.02,
) -> Tensor:
    """The student has the same similarities to anchors as its teacher (ISD; Tejankar et al. 2021, Eq. 3, https://arxiv.org/abs/2012.09259).

    Args:
        student: unit vectors [B, D].
        teacher: unit vectors [B, D] of another view; no gradient.
        anchors: unit vectors [K, D], the queue; no gradient.
        student_temperature: divides the student's cosines.
        teacher_temperature: divides the teacher's cosines; smaller is sharper.

    Returns:
        Mean over rows of KL(teacher's softmax || student's softmax), without a factor temperature squared, as in the
        authors' code. Exactly 0 where both agree. Float32 matters here: at temperature 0.01 bfloat16 similarities
        are off by up to 0.2 of a logit.
    """
    check_temperature(student_temperature)
    check_temperature(teacher_temperature)
    student_scores = student / student_temperature  # [B, D]
    teacher_scores = teacher.detach() / teacher_temperature  # [B, D]
    # [B], [B, D]: the teacher's expected anchor
    teacher_logsumexp, mean_anchor = mean_key(teacher_scores, anchors)
    student_logsumexp = cross_logsumexp(student_scores, anchors.detach()).all_logsumexp  # [B]
    # Expected scores are linear in the anchors, so the teacher's mean anchor is all that the cross-entropy needs.
    cross_entropy = student_logsumexp - (student_scores * mean_anchor).sum(dim=1)
    teacher_entropy = teacher_logsumexp - (teacher_scores * mean_anchor).sum(dim=1)
    return (cross_entropy - teacher_entropy).mean()
