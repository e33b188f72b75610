"""Losses against soft targets: one row of probabilities for each query."""

from __future__ import annotations

from torch import Tensor

from likewise.losses.contrastive import LossInputError, _check_temperature
from likewise.losses.float32 import in_float32


@in_float32
def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over rows of -sum_c t_c log softmax(logits)_c.

    Args:
        logits: [N, C].
        targets: [N, C] probabilities; no gradient flows into them.
    """
    if logits.shape != targets.shape:
        raise LossInputError(
            f"soft_cross_entropy needs one probability for each logit; got logits {tuple(logits.shape)} and targets "
            f"{tuple(targets.shape)}."
        )
    return -(targets.detach() * logits.log_softmax(dim=1)).sum(dim=1).mean()


@in_float32
def soft_nce(queries: Tensor, keys: Tensor, targets: Tensor, temperature: float | Tensor) -> Tensor:
    """Contrast with a soft answer: cross-entropy of softmax(q . k / temperature) against given probabilities.

    Args:
        queries: unit vectors [N, D].
        keys: unit vectors [M, D].
        targets: [N, M], rows sum to 1; no gradient.
        temperature: divides the cosines.
    """
    _check_temperature(temperature)
    return soft_cross_entropy(queries @ keys.T / temperature, targets)


@in_float32
def similarity_distillation(
    student: Tensor,
    teacher: Tensor,
    anchors: Tensor,
    student_temperature: float = 0.02,
    teacher_temperature: float = 0.02,
) -> Tensor:
    """The student sees anchors as similar as its teacher does (ISD; Tejankar et al. 2021, Eq. 3, https://arxiv.org/abs/2012.09259).

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
    _check_temperature(student_temperature)
    _check_temperature(teacher_temperature)
    if len(anchors) == 0:
        raise LossInputError("similarity_distillation was given no anchors, so there is nothing to be similar to.")
    believed = (teacher.detach() @ anchors.detach().T / teacher_temperature).log_softmax(dim=1)
    guessed = (student @ anchors.detach().T / student_temperature).log_softmax(dim=1)
    return (believed.exp() * (believed - guessed)).sum(dim=1).mean()
