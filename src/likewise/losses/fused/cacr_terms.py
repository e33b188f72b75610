"""CACR's terms on a GPU, in three launches forward and two backward, from one matrix of scores that is kept.

Unit rows u_vb of V views of B images have the scores s = u_vb . u_wj. Each anchor has a softmax over some of them, and
under it an expected score m, so that its expected distance is 2 - 2 m::

    attraction  of view v of image b    over its other views w               logits -2 a s, a the sharpness
    repulsion   of it by a view w > v   over w's images j other than b       logits  2 r s, r the sharpness
    slope of m by s                     softmax(s) (1 + k (s - m)),          k = -2 a or 2 r

and softmax(s) alone where no gradient flows through the weights. Both terms are means over their anchors. The slopes
by s_ij and s_ji are added, so their symmetric matrix times the rows is the gradient. PyTorch multiplies the matrices.
`attraction_repulsion` has the same from PyTorch's operations, for every device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from likewise.collectives import shard_of
from likewise.gpu_kernels import blocks, kernels
from likewise.losses.fused import gpu_sizes
from likewise.losses.fused.devices import readable
from likewise.losses.fused.products import product
from likewise.losses.second_derivatives import refuse_second_derivatives

TILE = {"ROWS": 16, "COLUMNS": 64}
"""How both passes over the scores are cut; NO GPU HAS MEASURED IT YET."""


def serves(views: Tensor, attraction_sharpness: float, repulsion_sharpness: float) -> bool:
    """Whether these kernels can make the terms of unit rows [V, B, D]."""
    if views.dtype != torch.float32 or not readable(views):
        return False
    fits = min(views.shape[:2]) >= 2 and views.shape[:2].numel() <= gpu_sizes.CACR_ROWS
    fits = fits and attraction_sharpness >= 0 and repulsion_sharpness >= 0
    return fits and shard_of(views.shape[1]) is None


def terms(
    views: Tensor, attraction_sharpness: float, repulsion_sharpness: float, through_weights: bool
) -> tuple[Tensor, Tensor] | None:
    """Attraction and repulsion of unit rows [V, B, D], with their gradients."""
    if not serves(views, attraction_sharpness, repulsion_sharpness):
        return None
    return _Terms.apply(views, attraction_sharpness, repulsion_sharpness, through_weights)  # type: ignore[no-any-return]


class _Terms(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, views: Tensor, attraction: float, repulsion: float, through_weights: bool
    ) -> tuple[Tensor, Tensor]:
        rows = views.flatten(0, 1).contiguous()
        scores = product(rows, rows.T)
        count, images = views.shape[:2]
        of_anchors = rows.new_empty([2, count, count, images])  # log-sums and expected scores
        terms = torch.empty_like(of_anchors)  # what each anchor adds to both
        with torch.cuda.device_of(rows):
            anchors_kernel = kernels("losses.fused.kernels.cacr_terms").anchors_kernel
            anchors_kernel[(blocks(images, TILE["ROWS"]), count, count)](
                *(scores, attraction, repulsion, *of_anchors, terms, count, images),
                **TILE,
            )
        ctx.save_for_backward(rows, scores, of_anchors)
        ctx.shape, ctx.sharpness = views.shape, (attraction, repulsion)
        ctx.through_weights = through_weights
        of_attraction, of_repulsion = terms.sum(dim=(1, 2, 3))
        return of_attraction, of_repulsion

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        refuse_second_derivatives()
        rows, scores, of_anchors = ctx.saved_tensors
        count, images, _ = ctx.shape
        slopes = torch.empty_like(scores)
        with torch.cuda.device_of(rows):
            slopes_kernel = kernels("losses.fused.kernels.cacr_terms").slopes_kernel
            slopes_kernel[(blocks(images, TILE["ROWS"]), count, count)](
                *(scores, *ctx.sharpness, *of_anchors, *gradients, slopes, count, images),
                **TILE,
                THROUGH=ctx.through_weights,
            )
        return product(slopes, rows).view(ctx.shape), None, None, None
