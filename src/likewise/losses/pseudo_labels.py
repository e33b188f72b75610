"""Targets for unlabelled rows, made from the network's own predictions. No gradient flows into a target.

FixMatch is Sohn et al. 2020, https://arxiv.org/abs/2001.07685; CoMatch is Li, Xiong & Hoi 2021,
https://arxiv.org/abs/2011.11183. CoMatch's targets use three steps: distribution alignment, memory smoothing, and a
pseudo-label graph that says which images are to have similar embeddings.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.collectives import over_ranks
from likewise.losses.float32 import in_float32
from likewise.losses.input_checks import LossInputError, check_temperature, shapes


@shapes(probabilities="B C", past_means="W C", filled="W int")
@in_float32
@torch.no_grad()
def distribution_alignment(probabilities: Tensor, past_means: Tensor, filled: Tensor) -> Tensor:
    """Divide by the mean prediction of recent batches, so that no class takes over (CoMatch, Sec. 3).

    After ReMixMatch (Berthelot et al. 2020, https://arxiv.org/abs/1911.09785), which also multiplies by the class
    frequencies of the labels; with balanced labels the two are the same.

    Args:
        probabilities: [B, C] predictions.
        past_means: [W, C] mean predictions of earlier batches; this batch's is averaged with them.
        filled: bool [W], which of them exist.

    Returns:
        [B, C], rows sum to 1.
    """
    past = (past_means * filled[:, None]).sum(dim=0)  # [C]
    mean = (probabilities.mean(dim=0) + past) / (1 + filled.sum())  # [C]
    # A class may have probability 0 everywhere.
    aligned = probabilities / mean.clamp(min=torch.finfo(mean.dtype).tiny)
    return aligned / aligned.sum(dim=1, keepdim=True)


@shapes(probabilities="B C", z="B D", bank="M D", bank_probabilities="M C")
@in_float32
@torch.no_grad()
def memory_smoothing(
    probabilities: Tensor,
    z: Tensor,
    bank: Tensor,
    bank_probabilities: Tensor,
    temperature: float,
    alpha: float,
) -> Tensor:
    """Mix predictions with those of past images that have similar embeddings (CoMatch, Sec. 3).

    Args:
        probabilities: [B, C] predictions.
        z: unit vectors [B, D] of the same rows.
        bank: unit vectors [K, D] of past rows.
        bank_probabilities: [K, C] predictions or labels of the past rows.
        temperature: divides the cosines.
        alpha: weight of the row's own prediction; 1 changes nothing.

    Returns:
        alpha * probabilities + (1 - alpha) * softmax(z . bank / temperature) @ bank_probabilities, [B, C].
    """
    check_temperature(temperature)
    of_past = over_ranks(_similar, (z,), bank, bank_probabilities, temperature)
    return alpha * probabilities + (1 - alpha) * of_past


def _similar(z: Tensor, bank: Tensor, bank_probabilities: Tensor, temperature: float) -> Tensor:
    """The mean probabilities [B, C] of past rows, by how similar they are."""
    return (z @ bank.T / temperature).softmax(dim=1) @ bank_probabilities


@shapes(probabilities="B C")
@in_float32
@torch.no_grad()
def threshold_pseudo_labels(probabilities: Tensor, threshold: float, hard: bool = False) -> Tensor:
    """Keep the rows whose largest probability reaches the threshold; all other rows become zero.

    A row of zeros adds nothing to `soft_cross_entropy`, whose mean is over all rows, as in FixMatch (Eq. 4) and CoMatch
    (Sec. 3).

    Args:
        probabilities: [B, C] predictions.
        threshold: least confidence.
        hard: one-hot pseudo-labels, as in FixMatch; else the probabilities stay as they are, as in CoMatch.
    """
    mask = probabilities.amax(dim=1, keepdim=True) >= threshold  # [B, 1]
    if hard:
        predicted = F.one_hot(probabilities.argmax(dim=1), probabilities.shape[1])  # [B, C]
        probabilities = predicted.to(probabilities)
    return mask * probabilities


@shapes(probabilities="B C", past_probabilities="M C")
@in_float32
@torch.no_grad()
def pseudo_label_graph(
    probabilities: Tensor, threshold: float, past_probabilities: Tensor | None = None
) -> Tensor:
    """CoMatch's pseudo-label graph as rows of probabilities, the targets of `soft_nce` (Sec. 3).

    An edge of weight p_i . p_j joins two images if it reaches the threshold. Each image has an edge of weight 1 to
    itself.

    Args:
        probabilities: [B, C] predictions.
        threshold: least weight of an edge.
        past_probabilities: [K, C] of earlier rows, which may have edges too; a row of zeros has none.

    Returns:
        [B, B], or [B, B + K], rows sum to 1.

    Raises:
        LossInputError: the threshold is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise LossInputError(
            f"pseudo_label_graph: threshold {threshold} was given; choose above 0, up to 1."
        )
    others = probabilities
    if past_probabilities is not None:
        others = torch.cat([probabilities, past_probabilities])
    edges = probabilities @ others.T  # [B, B + K]
    edges.fill_diagonal_(1)
    edges = edges.where(edges >= threshold, 0)
    return edges / edges.sum(dim=1, keepdim=True)
