"""Terms of games between classifiers, generators and discriminators, each a mean to be minimised by one player.

A classifier of K classes tells real from made without a logit for "made", which is held at 0 (Salimans et al. 2016,
Sec. 5, https://arxiv.org/abs/1606.03498): an image is real with probability Z / (Z + 1), where Z = sum exp(logits).
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from likewise.losses.float32 import in_float32, unit
from likewise.losses.input_checks import LossInputError


@in_float32
def class_evidence(logits: Tensor, real: bool) -> Tensor:
    """Half the cross-entropy of "real" or "made", in the form that cannot overflow (Dai et al. 2017, Eq. 6).

    https://arxiv.org/abs/1705.09783; the half is the authors' code's. With l = logsumexp(logits): softplus(-l) / 2 of
    real images, which is -l / 2 + softplus(l) / 2, and softplus(l) / 2 of made ones.

    Args:
        logits: [B, K] of the classes; "made" has none.
        real: what the images should be taken for.
    """
    evidence = logits.logsumexp(dim=1)
    return F.softplus(-evidence if real else evidence).mean() / 2


@in_float32
def bce_gan_loss(logits: Tensor, real: bool) -> Tensor:
    """Binary cross-entropy of a discriminator's logits [B], whose sigmoid is the probability of "real"."""
    return F.softplus(-logits if real else logits).mean()


@in_float32
def discriminator_confidence(logits: Tensor, judged: Tensor) -> Tensor:
    """Half of p_max softplus(-judged): being sure of a label that the discriminator doubts costs.

    Li et al. 2017, Eq. 3, https://arxiv.org/abs/1703.02291; the gradient flows through p_max alone.

    Args:
        logits: [B, K] of the classes.
        judged: [B], a discriminator's logits of each image with its likeliest class; no gradient.
    """
    confidence = logits.softmax(dim=1).amax(dim=1)
    return (confidence * F.softplus(-judged.detach())).mean() / 2


@in_float32
def feature_matching(made: Tensor, seen: Tensor) -> Tensor:
    """Mean |difference| of the mean features, [B, D] of made and [N, D] of real images.

    Salimans et al. 2016, Sec. 3.1, https://arxiv.org/abs/1606.03498. The absolute
    difference, averaged over D, is that of Dai et al.'s code, https://github.com/kimiyoung/ssl_bad_gan.
    """
    mean_seen = seen.detach().mean(dim=0)  # [D]
    return (made.mean(dim=0) - mean_seen).abs().mean()


@in_float32
def pull_away(made: Tensor) -> Tensor:
    """Mean squared cosine of all pairs of rows [B, D]: low where they differ (Zhao et al. 2017, Eq. 6).

    https://arxiv.org/abs/1609.03126. Dai et al. 2017 use it so that a generator covers more of the space.

    Raises:
        LossInputError: there is no pair.
    """
    if len(made) < 2:
        raise LossInputError(
            f"pull_away compares pairs of rows, but {len(made)} was given; give 2 or more."
        )
    squares = (unit(made) @ unit(made).T).square()  # [B, B]
    of_pairs = squares.sum() - squares.diagonal().sum()
    return of_pairs / (len(made) * (len(made) - 1))


@in_float32
def prediction_entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the softmax of logits [B, K]: low where predictions are confident."""
    probabilities = logits.softmax(dim=1)
    log_probabilities = logits.log_softmax(dim=1)
    return -(probabilities * log_probabilities).sum(dim=1).mean()


@in_float32
def class_imbalance(logits: Tensor) -> Tensor:
    """Cross-entropy of the uniform distribution against the mean softmax of logits [B, K]; least, ln K, where even."""
    log_sums = logits.log_softmax(dim=1).logsumexp(dim=0)  # [K], of B probabilities each
    return math.log(len(logits)) - log_sums.mean()
