"""CACR's weights for the run's page: what pulls an image, and what pushes it."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.methods.illustration import Illustration, Picture, weighted

EXAMPLES, STRONGEST = 6, 6
"""Images that are shown, and pushing images beside each."""

SAID = (
    "The contrastive weights of the trained networks, on training images as a step shows them. An image's other views "
    "pull it, the farthest most; the batch's other images push it away, the nearest most. Weights of each kind sum to "
    "100% over all that pull or push, of which past keys in a queue have no picture."
)


def draw_weights(views: list[Tensor], pulls: Tensor, pushing: Tensor, pushes: Tensor, pushed_by: int) -> Illustration:
    """A row for each of the first images: a view, its other views by their pull, other images by their push.

    Args:
        views: of B images, [B, C, S, S] each; the first is the one that is pulled and pushed.
        pulls: [B, V - 1], weights of the other views.
        pushing: [B, C, S, S], what the pushing images look like.
        pushes: [B, B], weights of those images; 0 for the image itself.
        pushed_by: how many pushed, those without a picture included.
    """
    others, rows = torch.stack(views[1:], dim=1), []
    pull = f"other views pull (if alike: {1 / pulls.shape[1]:.0%} each)"
    push = f"other images push, the strongest (if alike: {1 / pushed_by:.2%} each)"
    for i in range(min(len(pulls), EXAMPLES)):
        around = weighted(others[i], pulls[i], pull, pulls.shape[1])
        strongest = weighted(pushing, pushes[i], push, min(STRONGEST, len(pushes) - 1))  # but the image itself
        rows.append([Picture(views[0][i], "", "a view"), *around, *strongest])
    return Illustration("What pulls and what pushes", SAID, rows)
