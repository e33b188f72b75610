"""A linear classifier from class prototypes, whose confidence means something before the first step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError
from likewise.evaluation.metrics.threads import threads_for
from likewise.methods import Nets

SCALES = (1.0, 100.0)
"""Least and greatest factor of the cosines; 100 is CLIP's greatest (Radford et al. 2021, Sec. 2.5)."""

SCALE_WITHOUT_EVIDENCE = 10.0
"""Factor where no class has two labelled images; that of cosine classifiers for few images (Gidaris & Komodakis 2018,
Sec. 4, https://arxiv.org/abs/1804.09458)."""


@torch.no_grad()
def prototype_classifier(features: Tensor, labels: Tensor, num_classes: int) -> nn.Linear:
    """A linear layer whose logits are scaled cosines with class means (prototypes) of frozen features.

    The weights of a class are the normalised mean of its normalised features, after the mean of all features is
    subtracted (imprinting: Qi et al. 2018, Sec. 3.2, https://arxiv.org/abs/1712.07136). Features are divided by their
    mean norm instead of each by its own, so that the layer is linear. The factor of the cosines minimises the
    cross-entropy of labelled images that are left out of their own class's mean: a random or a flat classifier makes
    every pseudo-label unsure (SWIFT, Liu et al. 2025, Sec. 3, https://arxiv.org/abs/2512.10244).

    Args:
        features: float [N, D], of labelled and unlabelled images.
        labels: int64 [N], -1 where there is none.
        num_classes: K; a class without a label has zero weights.

    Raises:
        LikewiseError: no image is labelled.
    """
    if not bool((labels != UNLABELLED).any()):
        raise LikewiseError(
            "A classifier from class prototypes needs labelled images, but every label is -1."
        )
    with threads_for(features.numel() * num_classes):
        return _imprinted(features.float(), labels, num_classes)


def _imprinted(features: Tensor, labels: Tensor, num_classes: int) -> nn.Linear:
    centre = features.mean(dim=0)  # [D]
    centred = features - centre  # [N, D]
    norm = centred.norm(dim=1).mean().clamp_min(1e-12)
    labelled = labels != UNLABELLED
    rows, classes = centred[labelled], labels[labelled]

    sums = torch.zeros(num_classes, features.shape[1])
    sums.index_add_(0, classes, functional.normalize(rows))
    left_out = _left_out_cosines(rows / norm, sums, classes)
    scale = _scale(*left_out)

    layer = nn.Linear(features.shape[1], num_classes)
    layer.weight.copy_(scale * functional.normalize(sums) / norm)
    layer.bias.copy_(-layer.weight @ centre)
    return layer


@torch.no_grad()
def set_classifiers(nets: Nets, start: nn.Linear) -> bool:
    """Let a method's linear classifier, and its teacher's, start from another; False if the method has none."""
    found = False
    for part in nets.modules():
        classifier = getattr(part, "classifier", None) if isinstance(part, Nets) else None
        if isinstance(classifier, nn.Linear) and classifier.weight.shape == start.weight.shape:
            classifier.weight.copy_(start.weight)
            classifier.bias.copy_(start.bias)
            found = True
    return found


def _left_out_cosines(rows: Tensor, sums: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines [M, K] of rows with the prototypes of the other rows, and their class; not of the only row of a class."""
    counts = torch.bincount(classes, minlength=len(sums))
    not_alone = counts[classes] > 1
    rows, classes = rows[not_alone], classes[not_alone]
    cosines = rows @ functional.normalize(sums).T  # [M, K]
    own_sums = sums[classes] - functional.normalize(rows)  # [M, D]
    own = (rows * functional.normalize(own_sums)).sum(dim=1)
    cosines[torch.arange(len(rows)), classes] = own
    return cosines, classes


def _scale(cosines: Tensor, classes: Tensor) -> float:
    """The factor of the cosines with the least cross-entropy."""
    from scipy.optimize import minimize_scalar  # SciPy's import waits until it is needed

    if not len(classes):
        return SCALE_WITHOUT_EVIDENCE

    def loss(log_scale: float) -> float:
        return float(functional.cross_entropy(cosines * math.exp(log_scale), classes))

    bounds = math.log(SCALES[0]), math.log(SCALES[1])
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)
