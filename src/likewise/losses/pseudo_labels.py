"""Targets for rows without labels, made from the network's own guesses. No gradient flows into a target.

FixMatch (Sohn et al. 2020, https://arxiv.org/abs/2001.07685) believes its confident guesses; CoMatch (Li et al. 2021,
https://arxiv.org/abs/2011.11183) first balances them over the classes and smooths them by those of similar images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.losses.float32 import in_float32
from likewise.losses.input_checks import LossInputError, check_temperature


@in_float32
@torch.no_grad()
def aligned(guesses: Tensor, past: Tensor, held: Tensor) -> Tensor:
    """Distribution alignment: divide by how often each class was guessed of late, so that none takes over.

    CoMatch, Sec. 3, after ReMixMatch (Berthelot et al. 2020, https://arxiv.org/abs/1911.09785), which also
    multiplies by the labels' own class shares; with balanced labels the two are the same.

    Args:
        guesses: [B, C] probabilities.
        past: [W, C] mean guesses of the batches before; the mean over them and this batch's is what is divided by.
        held: bool [W], which of them there are.

    Returns:
        [B, C], rows sum to 1.
    """
    share = (guesses.mean(dim=0) + (past * held[:, None]).sum(dim=0)) / (1 + held.sum())
    balanced = guesses / share.clamp(min=torch.finfo(share.dtype).tiny)  # a class that no row gives any chance
    return balanced / balanced.sum(dim=1, keepdim=True)


@in_float32
@torch.no_grad()
def smoothed(
    guesses: Tensor, z: Tensor, bank: Tensor, bank_guesses: Tensor, temperature: float, alpha: float
) -> Tensor:
    """Guesses mixed with those of images that are embedded alike (CoMatch, Sec. 3).

    Args:
        guesses: [B, C] probabilities.
        z: unit vectors [B, D] of the same rows.
        bank: unit vectors [K, D] of past rows.
        bank_guesses: [K, C], what was guessed or known of them.
        temperature: divides the cosines.
        alpha: weight of the row's own guess; 1 leaves it as it is.

    Returns:
        alpha * guesses + (1 - alpha) * softmax(z . bank / temperature) @ bank_guesses, [B, C].
    """
    check_temperature(temperature)
    return alpha * guesses + (1 - alpha) * (z @ bank.T / temperature).softmax(dim=1) @ bank_guesses


@in_float32
@torch.no_grad()
def confident(guesses: Tensor, threshold: float, hard: bool = False) -> Tensor:
    """Rows whose largest probability reaches the threshold; zeros for all others, so that they teach nothing.

    Against these targets `soft_cross_entropy` is the mean over all rows, as in FixMatch (Eq. 4) and CoMatch (Sec. 3).

    Args:
        guesses: [B, C] probabilities.
        threshold: least confidence.
        hard: whether all is put on the likeliest class, as in FixMatch; CoMatch keeps the guess as it is.
    """
    believed = guesses.amax(dim=1, keepdim=True) >= threshold
    return believed * (F.one_hot(guesses.argmax(dim=1), guesses.shape[1]).to(guesses) if hard else guesses)


@in_float32
@torch.no_grad()
def agreement(guesses: Tensor, threshold: float, past: Tensor | None = None) -> Tensor:
    """CoMatch's pseudo-label graph as rows of probabilities, the targets of `soft_nce` (Sec. 3).

    Two images are joined by an edge of weight p_i . p_j if that reaches the threshold; each is joined to itself by 1.

    Args:
        guesses: [B, C] probabilities.
        threshold: weakest edge that is kept.
        past: [K, C] guesses of earlier rows, to which there may be edges too; a row of zeros has none.

    Returns:
        [B, B], or [B, B + K], rows sum to 1.
    """
    if not 0 < threshold <= 1:
        raise LossInputError(f"agreement: an edge threshold of {threshold} was given; choose above 0, up to 1.")
    others = guesses if past is None else torch.cat([guesses, past])
    edges = guesses @ others.T
    edges.fill_diagonal_(1)
    edges = edges.where(edges >= threshold, 0)
    return edges / edges.sum(dim=1, keepdim=True)
