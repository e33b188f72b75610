"""CACR: positives are contrasted with positives and negatives with negatives, by weights that can be inspected.

Distances are squared Euclidean distances of unit vectors, c(a, b) = 2 - 2 a . b, from 0 to 4. Sharpness multiplies
them: it is the inverse of a temperature, and at 0 all weights are equal. No logarithm is taken of anything.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from likewise.losses.float32 import in_float32, unit
from likewise.losses.fused import cacr_queue, cacr_terms
from likewise.losses.fused.kernels_first import kernels_first
from likewise.losses.input_checks import LossInputError, shapes
from likewise.losses.row_means import mean_over_rows


@shapes(anchors="B D", positives="B P D")
@in_float32
def attraction_weights(anchors: Tensor, positives: Tensor, sharpness: float = 1.0) -> Tensor:
    """How much each positive is pulled: more, the farther it is from its anchor.

    Zheng et al. 2021, Eq. 3, https://arxiv.org/abs/2105.03746: softmax over k of sharpness * c(anchor_i, positive_ik).

    Args:
        anchors: unit vectors [N, D].
        positives: unit vectors [N, K, D], those of each anchor.
        sharpness: multiplies the distances; 0 or more.

    Returns:
        [N, K], rows sum to 1.
    """
    return _pulled(_similarities(anchors, positives), sharpness)


@shapes(anchors="B D", others="M D", self_index="B int")
@in_float32
def repulsion_weights(
    anchors: Tensor, others: Tensor, sharpness: float = 2.0, self_index: Tensor | None = None
) -> Tensor:
    """How much each other example is pushed away: more, the nearer it is to the anchor.

    Zheng et al. 2021, Eq. 4, https://arxiv.org/abs/2105.03746: softmax over j of -sharpness * c(anchor_i, other_j).

    Args:
        anchors: unit vectors [N, D].
        others: unit vectors [M, D].
        sharpness: multiplies the distances; 0 or more.
        self_index: int64 [N], the column that is the anchor's own image and is left out; -1 for none.

    Returns:
        [N, M], rows sum to 1; 0 where left out.
    """
    return _pushed(anchors @ others.T, sharpness, self_index)


@shapes(anchors="B D", positives="B P D")
@in_float32
def contrastive_attraction(
    anchors: Tensor, positives: Tensor, sharpness: float = 1.0, through_weights: bool = True
) -> Tensor:
    """The weighted squared distance to an anchor's positives, averaged over anchors (CACR's first term).

    Args:
        anchors: unit vectors [N, D].
        positives: unit vectors [N, K, D], those of each anchor.
        sharpness: of the weights; see `attraction_weights`.
        through_weights: whether gradient flows through the weights too, or only through the distances.

    Returns:
        A scalar from 0 to 4. With one positive it is plain alignment, whatever the sharpness.
    """
    similarities = _similarities(anchors, positives)
    weights = _pulled(similarities if through_weights else similarities.detach(), sharpness)
    return 2 - 2 * (weights * similarities).sum(dim=1).mean()


@shapes(anchors="B D", others="M D", self_index="B int")
@mean_over_rows("anchors", "self_index")
@in_float32
def contrastive_repulsion(
    anchors: Tensor,
    others: Tensor,
    sharpness: float = 2.0,
    self_index: Tensor | None = None,
    through_weights: bool = True,
) -> Tensor:
    """Minus the weighted squared distance to other examples, averaged over anchors (CACR's second term).

    Args:
        anchors: unit vectors [N, D].
        others: unit vectors [M, D]; gradient flows to them if they take any.
        sharpness: of the weights; see `repulsion_weights`.
        self_index: int64 [N], the column left out of each row; -1 for none.
        through_weights: whether gradient flows through the weights too, or only through the distances.

    Returns:
        A scalar from -4 to 0, where 0 is collapse. All N x M distances are held, by
        several processes a share of the N rows each.

    Raises:
        LossInputError: there is nothing to be pushed away from.
    """
    similarities = anchors @ others.T
    weights = _pushed(
        similarities if through_weights else similarities.detach(), sharpness, self_index
    )
    return 2 * (weights * similarities).sum(dim=1).mean() - 2


@shapes(z="B V D")
def cacr(
    z: Tensor,
    attraction_sharpness: float = 1.0,
    repulsion_sharpness: float = 2.0,
    through_weights: bool = True,
) -> Tensor:
    """Contrastive attraction and contrastive repulsion within a batch (Zheng et al. 2021, Eq. 5, https://arxiv.org/abs/2105.03746).

    Args:
        z: projections [B, V, D] of V views of B images, at least 2 of each; normalised here.
        attraction_sharpness: see `attraction_weights`.
        repulsion_sharpness: see `repulsion_weights`.
        through_weights: whether gradient flows through the weights too, as in the authors' code for small data. It
            does not in their code for ImageNet.

    Returns:
        The sum of both terms, from -4 to 4. It is below 0 for embeddings that are spread out.
    """
    sharpness = attraction_sharpness, repulsion_sharpness
    attraction, repulsion = terms_of_views(unit_views(z), *sharpness, through_weights)
    return attraction + repulsion


def unit_views(z: Tensor) -> Tensor:
    """Projections [B, V, D] -> unit vectors [V, B, D]."""
    if z.dim() != 3 or min(z.shape[:2]) < 2:
        raise LossInputError(
            f"CACR needs [B, V, D], at least 2 views of at least 2 images; got {tuple(z.shape)}. With fewer views "
            f"there is nothing to attract, with one image nothing to repel."
        )
    rows = unit(z.transpose(0, 1).flatten(0, 1))
    return rows.unflatten(0, (z.shape[1], z.shape[0]))


@kernels_first(cacr_terms.terms)
def terms_of_views(
    views: Tensor, attraction_sharpness: float, repulsion_sharpness: float, through_weights: bool
) -> tuple[Tensor, Tensor]:
    """Attraction and repulsion within a batch of unit rows [V, B, D]; see `cacr`."""
    attraction = multi_view_attraction(views, views, attraction_sharpness, through_weights)
    return attraction, multi_view_repulsion(views, repulsion_sharpness, through_weights)


@kernels_first(cacr_queue.terms)
def terms_with_queue(
    queries: Tensor,
    keys: Tensor,
    queue: Tensor,
    attraction_sharpness: float,
    repulsion_sharpness: float,
    through_weights: bool,
) -> tuple[Tensor, Tensor]:
    """Attraction and repulsion of unit rows, with a teacher and a queue, neither of which takes a gradient.

    Args:
        queries: [V, B, D], V views of B images.
        keys: [V, B, D], the teacher's; a row is attracted by those of its image's other views.
        queue: [K, D]; a row is repelled by all of it, and by the queries of the same view of other images.
        attraction_sharpness: see `attraction_weights`.
        repulsion_sharpness: see `repulsion_weights`.
        through_weights: see `cacr`.
    """
    queue = queue.detach()
    attraction = multi_view_attraction(
        queries, keys.detach(), attraction_sharpness, through_weights
    )
    itself = len(queue) + torch.arange(queries.shape[1], device=queue.device)  # [B]
    terms: list[Tensor] = []
    for view in queries:
        others = torch.cat([queue, view])  # [K + B, D]
        terms.append(
            contrastive_repulsion(view, others, repulsion_sharpness, itself, through_weights)
        )
    return attraction, torch.stack(terms).mean()


def multi_view_attraction(
    queries: Tensor, keys: Tensor, sharpness: float, through_weights: bool
) -> Tensor:
    """Each view of an image, [V, B, D], attracted by all its other views in the keys [V, B, D]; mean over views."""
    terms: list[Tensor] = []
    for v in range(len(queries)):
        others = torch.cat([keys[:v], keys[v + 1 :]])  # a list of indices would be copied to a GPU
        positives = others.transpose(0, 1)  # [B, V - 1, D]
        terms.append(contrastive_attraction(queries[v], positives, sharpness, through_weights))
    return torch.stack(terms).mean()


def multi_view_repulsion(views: Tensor, sharpness: float, through_weights: bool) -> Tensor:
    """Each pair of views, of [V, B, D]: the first repelled by other images' second; mean over pairs.

    As in the authors' code the conditional is the first view's alone, not symmetrised.
    """
    itself = torch.arange(views.shape[1], device=views.device)
    pairs = combinations(views, 2)
    terms = [
        contrastive_repulsion(first, second, sharpness, itself, through_weights)
        for first, second in pairs
    ]
    return torch.stack(terms).mean()


def _similarities(anchors: Tensor, positives: Tensor) -> Tensor:
    """Cosines [N, K] of anchors with their own positives."""
    return (anchors[:, None] * positives).sum(dim=2)


def _pulled(similarities: Tensor, sharpness: float) -> Tensor:
    """softmax(sharpness * c); the 2 of c = 2 - 2 similarities cancels."""
    _check_sharpness(sharpness)
    return (-2 * sharpness * similarities).softmax(dim=1)


def _pushed(similarities: Tensor, sharpness: float, self_index: Tensor | None) -> Tensor:
    """softmax(-sharpness * c) over all columns but the anchor's own."""
    _check_sharpness(sharpness)
    if similarities.shape[1] <= (self_index is not None):  # a row leaves out one column at most
        raise LossInputError("There is nothing to be pushed away from. Give at least two images.")
    logits = 2 * sharpness * similarities
    if self_index is not None:
        columns = torch.arange(similarities.shape[1], device=similarities.device)
        logits = logits.masked_fill(self_index[:, None] == columns, -torch.inf)
    return logits.softmax(dim=1)


def _check_sharpness(sharpness: float) -> None:
    if not sharpness >= 0:
        raise LossInputError(
            f"sharpness must be 0 or more, got {sharpness}; the paper uses 0.9 to 3."
        )
