"""Vectors of one set become as similar as given kernels say: three losses of whole similarity matrices."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from likewise.losses.distillation import soft_cross_entropy
from likewise.losses.float32 import in_float32
from likewise.losses.input_checks import LossInputError, check_temperature, shapes

KernelTarget = Literal["l1", "softmax"]
"""How a row of the kernel becomes probabilities: divided by its sum, or its softmax at the embeddings' temperature."""


@in_float32
def gaussian_log_kernel(vectors: Tensor, width: float) -> Tensor:
    """The logarithm of a Gaussian kernel, -|v_p - v_q|^2 / (2 width^2), within each set: [B, N, D] -> [B, N, N].

    Args:
        vectors: B sets of N vectors.
        width: of the Gaussian, in the vectors' own unit.
    """
    if width <= 0:
        raise LossInputError(f"gaussian_log_kernel needs a width above 0; {width} was given.")
    return torch.cdist(vectors, vectors).square().div(-2 * width**2)


@shapes(embeddings="B N D", log_kernel="B N N", weights="B")
@in_float32
def kernel_cross_entropy(
    embeddings: Tensor,
    log_kernel: Tensor,
    temperature: float = 0.25,
    target: KernelTarget = "l1",
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy of the rows of two similarity matrices, the diagonal left out.

    With S_f(p, .) the row of the kernel as probabilities, and the mean over all rows p of all sets::

        S(p, q) = e^{cos(p, q) / temperature} / sum_{r != p} e^{cos(p, r) / temperature}
        loss = mean_p -sum_{q != p} S_f(p, q) log S(p, q)

    Mahendran et al. 2018, Sec. 3, https://arxiv.org/abs/1807.05636, who found it best of the three. Pairs that
    the kernel calls dissimilar are only pushed relative to similar ones, so a pair that happens to rest, or to move
    apart, is not forced. The diagonal is left out; that and the factor of the cosines are reconstructed.

    Args:
        embeddings: unit vectors [B, N, D], B sets of N.
        log_kernel: [B, N, N], the logarithm of the similarities to match; no gradient.
        temperature: divides the cosines.
        target: see `KernelTarget`.
        weights: [B], the share of each set in the mean; None: equal. All zero gives a loss of zero.
    """
    check_temperature(temperature)
    _require_pairs(embeddings)
    logits = _off_diagonal(embeddings @ embeddings.mT / temperature)
    wanted = _off_diagonal(log_kernel.detach())
    if target == "softmax":
        wanted = wanted.exp() / temperature
    targets = wanted.softmax(dim=2)
    if weights is not None:
        targets = targets * (len(weights) * _shares(weights))[:, None, None]
    return soft_cross_entropy(logits.flatten(0, 1), targets.flatten(0, 1))


@shapes(embeddings="B N D", log_kernel="B N N", weights="B")
@in_float32
def kernel_regression(
    embeddings: Tensor, log_kernel: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Mean over all pairs p != q of ((1 + cos(p, q)) / 2 - kernel(p, q))^2; arguments as `kernel_cross_entropy`'s.

    The first loss of Mahendran et al. 2018, Sec. 3, https://arxiv.org/abs/1807.05636. It asks every pair that moves
    differently to be unlike. Moving cosines into the kernel's [0, 1] is reconstructed.
    """
    _require_pairs(embeddings)
    similarities = (1 + embeddings @ embeddings.mT) / 2  # [B, N, N]
    differences = _off_diagonal(similarities - log_kernel.detach().exp())
    return _weighted(differences.square().mean(dim=(1, 2)), weights)


@shapes(embeddings="B N D", log_kernel="B N N", weights="B")
@in_float32
def kernel_alignment(
    embeddings: Tensor, log_kernel: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Minus the cosine of the two matrices, taken as long vectors without their diagonals; in [-1, 1].

    Kernel-target alignment (Cristianini et al. 2001) as the second loss of Mahendran et al. 2018, Sec. 3,
    https://arxiv.org/abs/1807.05636; arguments as `kernel_cross_entropy`'s.
    """
    _require_pairs(embeddings)
    cosines = _off_diagonal(embeddings @ embeddings.mT)
    wanted = _off_diagonal(log_kernel.detach().exp())
    return -_weighted(
        torch.cosine_similarity(cosines.flatten(1), wanted.flatten(1), dim=1), weights
    )


def mean_cosine(embeddings: Tensor) -> Tensor:
    """Mean cosine of all pairs p != q of unit vectors [B, N, D], over the sets; 1 is collapse."""
    count = embeddings.shape[1]
    # [B], pairs of a vector with itself among them
    all_pairs = embeddings.sum(dim=1).square().sum(dim=1)
    of_itself = embeddings.square().sum(dim=(1, 2))
    return (all_pairs - of_itself).mean() / (count * (count - 1))


def _off_diagonal(matrices: Tensor) -> Tensor:
    """[B, N, N] -> [B, N, N - 1]: each row without its own column."""
    rows, count, _ = matrices.shape
    # Without its first entry, each line of N + 1 entries of the flat matrix ends in one of the diagonal.
    lines = matrices.flatten(1)[:, 1:].view(rows, count - 1, count + 1)
    return lines[:, :, :-1].reshape(rows, count, count - 1)


def _weighted(losses: Tensor, weights: Tensor | None) -> Tensor:
    return losses.mean() if weights is None else (losses * _shares(weights)).sum()


def _shares(weights: Tensor) -> Tensor:
    return weights / weights.sum().clamp(min=torch.finfo(weights.dtype).tiny)


def _require_pairs(embeddings: Tensor) -> None:
    if embeddings.shape[1] < 2:
        raise LossInputError(
            "A set of one vector has no pair whose similarity could be learned; give two or more."
        )
