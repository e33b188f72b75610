"""Linear discriminant analysis on features of a few labelled images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from likewise.classification.head import ABSENT, require_two_classes
from likewise.evaluation.statistics.scores import Features, require_labelled


@torch.no_grad()
def discriminant_head(features: Tensor, labels: Tensor, num_classes: int) -> nn.Linear:
    """Linear discriminant analysis with the covariance within classes shrunk towards a multiple of the identity.

    It weighs a direction by how little images of a class differ along it, so it finds fine differences that a penalty
    on the weights of logistic regression suppresses. The share of the identity is that of Ledoit & Wolf 2004
    (https://doi.org/10.1016/S0047-259X(03)00096-4), found once for all classes: ``LinearDiscriminantAnalysis`` of
    scikit-learn finds it for each class alone, which a few rows do not allow, and solves D x D equations, where the
    N rows span fewer dimensions.

    Args:
        features: float [N, D].
        labels: int64 [N] in 0..K-1, -1 where there is none; such rows are passed over.
        num_classes: K; a class that no row is labelled with gets a logit of -10,000.

    Returns:
        features [B, D] -> logits [B, K], whose softmax is the posterior probability for classes as frequent as among
        the labels.

    Raises:
        LikewiseError: no label, labels of one class only, or NaN or infinite features.
    """
    rows = require_labelled(Features(features, labels), "training")
    classes, targets = require_two_classes(rows.labels)
    vectors = rows.vectors.double()
    centre = vectors.mean(dim=0)
    vectors -= centre
    counts = torch.bincount(targets).double()
    means = torch.zeros(len(classes), vectors.shape[1], dtype=torch.float64).index_add_(
        0, targets, vectors
    )
    means /= counts[:, None]  # [C, D]
    within = vectors - means[targets]  # [N, D]
    if not bool(within.any()):  # one row a class says nothing of how rows of a class differ
        within = vectors
    weights = _times_inverse_covariance(means, within)
    bias = (counts / counts.sum()).log()  # [C]
    bias -= (weights * means).sum(dim=1) / 2 + weights @ centre
    head = nn.Linear(vectors.shape[1], num_classes)
    head.weight.zero_()
    head.bias.fill_(ABSENT)
    head.weight[classes] = weights.float()
    head.bias[classes] = (bias - bias.mean()).float()
    return head.eval().requires_grad_(False)


LEAST_SHARE = 1e-4
"""of the identity in the covariance, so that it has an inverse"""


def _times_inverse_covariance(means: Tensor, within: Tensor) -> Tensor:
    """Means [C, D] times the inverse of the shrunk covariance of centred rows [N, D]."""
    # scikit-learn takes a second to import, which most commands do without
    from sklearn.covariance import ledoit_wolf_shrinkage

    share = max(float(ledoit_wolf_shrinkage(within.numpy(), assume_centered=True)), LEAST_SHARE)
    level = share * within.square().mean()  # the identity's part
    _, lengths, directions = torch.linalg.svd(within, full_matrices=False)  # [R], [R, D]
    variances = (1 - share) * lengths.square() / len(within) + level
    along = means @ directions.T  # [C, R]
    return means / level + (along / variances - along / level) @ directions
