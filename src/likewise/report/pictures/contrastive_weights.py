"""CACR on a page: the weights by which an image is attracted and repelled."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.data.batch import Batch
from likewise.losses.attraction_repulsion import attraction_weights, repulsion_weights, unit_views
from likewise.methods import Nets, Progress
from likewise.methods.cacr import CACR
from likewise.report.pictures.illustration import Illustration, Picture, weighted

EXAMPLES = 6
"""images that are drawn"""
STRONGEST = 6
"""repelling images drawn for each"""
EXPLANATION = (
    "The contrastive weights of the trained networks, on views of training images. An image is attracted by its other "
    "views, most by the farthest, and repelled by the other images of the batch, most by the nearest. Weights of each "
    "kind sum to 100% over everything that attracts or repels; past keys in a queue count too but have no picture."
)


def illustrate_weights(method: CACR, nets: Nets, batch: Batch, progress: Progress) -> Illustration:
    """The weights of a few images: of all their other views, and of the images that repel them most."""
    views = method.draw_views(batch, progress)
    rows = method.embed(nets, batch, progress)
    z = unit_views(rows["queries"])  # [V, B, D]
    if "keys" in rows:
        # With a teacher, each view meets the queue and the same view of other images.
        keys = unit_views(rows["keys"])
        repelling_view = 0
        past = method.queue
        others = torch.cat([nets.queue.rows, z[repelling_view]])  # [Q + B, D]
    else:
        keys, repelling_view, past = z, 1, 0
        others = z[repelling_view]  # [B, D]
    own = past + torch.arange(batch.size, device=z.device)
    attraction = attraction_weights(z[0], keys[1:].transpose(0, 1), method.attraction_sharpness)
    repulsion = repulsion_weights(z[0], others, method.repulsion_sharpness, own)[:, past:]
    return draw_weights(views, attraction, views[repelling_view], repulsion, len(others) - 1)


def draw_weights(
    views: list[Tensor], attraction: Tensor, repelling: Tensor, repulsion: Tensor, repelled_by: int
) -> Illustration:
    """A row for each of the first images: a view, its other views by attraction, other images by repulsion.

    Args:
        views: of B images, [B, C, S, S] each; the first is the one that is attracted and repelled.
        attraction: [B, V - 1], weights of the other views.
        repelling: [B, C, S, S], the repelling images.
        repulsion: [B, B], weights of those images; 0 for the image itself.
        repelled_by: how many images repel, those without a picture included.
    """
    others = torch.stack(views[1:], dim=1)  # [B, V - 1, C, S, S]
    count = attraction.shape[1]
    attracting = f"attracting views (uniform: {1 / count:.0%} each)"
    strongest = f"most repelling images (uniform: {1 / repelled_by:.2%} each)"
    most = min(STRONGEST, len(repulsion) - 1)  # an image does not repel itself
    rows = []
    for i in range(min(len(attraction), EXAMPLES)):
        row = [Picture(views[0][i], "", "a view")]
        row += weighted(others[i], attraction[i], attracting, count)
        row += weighted(repelling, repulsion[i], strongest, most)
        rows.append(row)
    return Illustration("Attraction and repulsion", EXPLANATION, rows)
