"""Images and texts that come in pairs: each should match its partner within the whole batch, in both directions.

A pair's index is its identity: row i of the images belongs to row i of the texts. `contrastive.info_nce` takes any ids.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.losses.assignment import balanced
from likewise.losses.distillation import soft_nce
from likewise.losses.float32 import in_float32
from likewise.losses.fused import clip_pairs
from likewise.losses.fused.kernels_first import kernels_first
from likewise.losses.input_checks import LossInputError, shapes
from likewise.losses.log_sums.similarity_sums import both_logsumexp, cross_logsumexp

APART = 100.0
"""What OTTER subtracts from the similarity of an image with itself, and of a text with itself."""


@shapes(images="N D", texts="N D")
@kernels_first(clip_pairs.clip_loss)
@in_float32
def clip_loss(
    images: Tensor, texts: Tensor, scale: float | Tensor, smoothing: float = 0.0
) -> Tensor:
    """CLIP's loss (Radford et al. 2021, Figure 3, https://arxiv.org/abs/2103.00020).

    Args:
        images: unit vectors [N, D].
        texts: unit vectors [N, D], in the same order.
        scale: multiplies the cosines, one over a temperature; may be learned.
        smoothing: share of each target that is spread evenly over the other N - 1 (label smoothing).

    Returns:
        Mean of the cross-entropies images -> texts and texts -> images. The authors of clip-distill add the two
        instead. No [N, N] is held.
    """
    _require_two(images)
    if not 0 <= smoothing < 1:
        raise LossInputError(
            f"clip_loss was given smoothing={smoothing}; allowed is 0 or more, and below 1."
        )
    other = smoothing / (len(images) - 1)
    scaled = images * scale
    of_partners = (scaled * texts).sum()
    of_all = scaled.sum(dim=0).dot(texts.sum(dim=0))
    positive_scores = of_partners * (1 - smoothing - other) + of_all * other
    log_sums = both_logsumexp(scaled, texts)
    if log_sums is None:
        to_texts = cross_logsumexp(scaled, texts).all_logsumexp
        log_sums = to_texts, cross_logsumexp(texts * scale, images).all_logsumexp
    ways = log_sums[0].sum() + log_sums[1].sum()
    return (ways / 2 - positive_scores) / len(images)


@shapes(images="N D", texts="N D", image_targets="N N", text_targets="N N")
@in_float32
def pair_divergence(
    images: Tensor,
    texts: Tensor,
    image_targets: Tensor,
    text_targets: Tensor,
    scale: float | Tensor,
) -> Tensor:
    """How far what the pairs make of each other is from soft targets (Cheng et al. 2021, https://arxiv.org/abs/2104.08945).

    Args:
        images: unit vectors [N, D].
        texts: unit vectors [N, D].
        image_targets: [N, N], for each image probabilities of the texts; no gradient.
        text_targets: [N, N], for each text probabilities of the images; no gradient.
        scale: multiplies the cosines; may be learned.

    Returns:
        Mean over both ways and over rows of KL(target || softmax); 0 where both agree.
    """
    _require_two(images)
    if not isinstance(scale, Tensor) and scale <= 0:
        raise LossInputError(
            f"pair_divergence: scale={scale:g} was given; it multiplies cosines, and is above 0."
        )
    to_texts = soft_nce(images, texts, image_targets, 1 / scale)
    to_images = soft_nce(texts, images, text_targets, 1 / scale)
    cross_entropy = to_texts + to_images
    entropy = torch.special.entr(image_targets.detach()).sum()
    entropy = entropy + torch.special.entr(text_targets.detach()).sum()
    return (cross_entropy - entropy / len(images)) / 2


@shapes(images="N D", texts="N D")
@torch.no_grad()
@in_float32
def pair_targets(
    images: Tensor,
    texts: Tensor,
    sharpness: float = 100.0,
    image_weight: float = 1.0,
    text_weight: float = 1.0,
) -> Tensor:
    """A teacher's soft targets: softmax(sharpness (c_v vv + c_t tt + vt)), and the same of the texts.

    Cheng et al. 2021 (https://arxiv.org/abs/2104.08945); vv are the similarities of images, tt of texts, vt across.
    The weights c_v and c_t are 1 in the authors' code; 0 gives the plain form, the similarities across.

    Args:
        images: the teacher's unit vectors [N, D].
        texts: the teacher's unit vectors [N, D].
        sharpness: one over the teacher's temperature (authors: 100).
        image_weight: c_v.
        text_weight: c_t.

    Returns:
        [2, N, N]: of each image over texts, then of each text over images. Rows sum to 1.
    """
    _require_two(images)
    within = image_weight * (images @ images.T) + text_weight * (texts @ texts.T)
    across = images @ texts.T
    logits = torch.stack([within + across, within + across.T])  # [2, N, N]
    return logits.mul(sharpness).softmax(dim=2)


@shapes(images="N D", texts="N D")
@torch.no_grad()
@in_float32
def optimal_transport_targets(
    images: Tensor, texts: Tensor, epsilon: float = 0.15, iterations: int = 5
) -> Tensor:
    """OTTER's targets: which other images a text describes, all used equally often (Wu et al. 2021).

    https://arxiv.org/abs/2112.09445. Sinkhorn on vv + tt + vt, where nothing is like itself: the partner that the data
    name is left to the other half of the loss. As in the authors' code, rows are normalised first, then columns and
    rows in ``iterations`` turns, so rows sum to 1 at the end.

    Args:
        images: the teacher's unit vectors [N, D].
        texts: the teacher's unit vectors [N, D].
        epsilon: sharpness; smaller is closer to one partner each (authors: 0.15).
        iterations: turns (authors: 5).

    Returns:
        [2, N, N] as `pair_targets`.
    """
    _require_two(images)
    within = images @ images.T + texts @ texts.T
    within.fill_diagonal_(-2 * APART)
    across = images @ texts.T
    log_kernels = torch.stack([within + across, within + across.T]) / epsilon  # [2, N, N]
    return balanced(log_kernels.log_softmax(dim=2), iterations)


def _require_two(images: Tensor) -> None:
    if len(images) < 2:
        raise LossInputError(
            f"Images and texts must be two pairs or more; got images {tuple(images.shape)}."
        )
