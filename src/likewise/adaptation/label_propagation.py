"""Labels spread to unlabelled images along a graph of nearest neighbours of frozen features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from likewise.data.batch import UNLABELLED
from likewise.errors import LikewiseError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

CHUNK = 512
"""rows whose similarities with all others are in memory at a time: 100 MB for 50,000 images"""


def propagate_labels(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    neighbours: int = 50,
    alpha: float = 0.99,
    gamma: float = 3.0,
    balance: bool = True,
) -> Tensor:
    """Class probabilities float32 [N, K] of all images from the labels of a few, without training.

    Iscen et al. 2019, Sec. 3.2 (https://arxiv.org/abs/1904.04717), whose defaults these are: the graph joins each image
    to its nearest neighbours by the cosine to the power of gamma, and the scores solve (I - alpha S) F = Y (Zhou et al.
    2004, "Learning with local and global consistency"). Memory is bounded: the graph is sparse, and similarities are
    computed for 512 images at a time.

    Args:
        features: float [N, D], frozen.
        labels: int64 [N] in 0..K-1, -1 where there is none.
        num_classes: K.
        neighbours: of each image in the graph; at most N - 1.
        alpha: how far labels spread, above 0 and below 1.
        gamma: power of the cosine.
        balance: divide each class's scores by their sum, so that a class with more labels takes no more images (Zhu et
            al. 2003, Sec. 4: class mass normalisation with equal masses).

    Raises:
        LikewiseError: no image is labelled, or alpha is out of range.
    """
    labelled = labels != UNLABELLED
    if not bool(labelled.any()):
        raise LikewiseError("Label propagation needs labelled images, but every label is -1.")
    if not 0 < alpha < 1:
        raise LikewiseError(
            f"alpha={alpha:g} was given; allowed is above 0 and below 1, for instance 0.99."
        )
    graph = neighbour_graph(features, min(neighbours, len(features) - 1), gamma)
    targets = functional.one_hot(labels.clamp_min(0), num_classes) * labelled[:, None]  # [N, K]
    scores = _spread(graph, targets, alpha)
    if balance:
        scores /= np.maximum(scores.sum(axis=0), 1e-12)
    total = scores.sum(axis=1, keepdims=True)
    # An image that no label reaches has a uniform distribution.
    probabilities = np.where(total > 0, scores / np.maximum(total, 1e-300), 1 / num_classes)
    return torch.from_numpy(probabilities).float()


def _spread(graph: csr_matrix, targets: Tensor, alpha: float) -> np.ndarray:
    """The scores F [N, K] of (I - alpha S) F = Y by conjugate gradients, where S is the graph, normalised."""
    from scipy.sparse import diags, identity  # SciPy's import waits until it is needed
    from scipy.sparse.linalg import cg

    degree = np.asarray(graph.sum(axis=1)).ravel()
    root = diags(1 / np.sqrt(np.maximum(degree, 1e-12)))
    system = identity(len(degree)) - alpha * (root @ graph @ root)
    scores = np.zeros(targets.shape)
    for number in range(scores.shape[1]):
        wanted = targets[:, number].double().numpy()
        solution, _ = cg(system, wanted, rtol=1e-6, maxiter=100)
        scores[:, number] = solution.clip(min=0)
    return scores


def neighbour_graph(features: Tensor, neighbours: int, gamma: float) -> csr_matrix:
    """Symmetric affinities [N, N]: cosine to the power of gamma where one image is a neighbour of the other."""
    from scipy.sparse import csr_matrix

    unit = functional.normalize(features.float())
    rows, columns, values = [], [], []
    for first in range(0, len(unit), CHUNK):
        cosines = unit[first : first + CHUNK] @ unit.T  # [chunk, N]
        own = torch.arange(first, first + len(cosines))
        cosines[torch.arange(len(cosines)), own] = -1
        nearest = cosines.topk(neighbours, dim=1)
        rows.append(own.repeat_interleave(neighbours))
        columns.append(nearest.indices.flatten())
        values.append(nearest.values.clamp_min(0).pow(gamma).flatten())
    where = torch.cat(rows).numpy(), torch.cat(columns).numpy()
    entries = torch.cat(values).double().numpy()
    directed = csr_matrix((entries, where), shape=(len(unit), len(unit)))
    return directed + directed.T
