"""What can be asked of sight and sound that were learned together: are they in step, and where does it sound."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.evaluation.statistics.confidence import Interval, percentiles, resampled_counts
from likewise.randomness import generator

BOOTSTRAP = "percentiles of 1,000 draws of the test clips with replacement, 95 %"


def sync_auc(in_step: Tensor, shifted: Tensor, fits: Tensor) -> Interval:
    """How well a score tells sound in step with its frames from sound that is shifted: the area under the ROC curve.

    The chance that a clip in step scores higher than a shifted one of any clip, ties counting half; 0.5 is a guess.

    Args:
        in_step: float [N], of each clip with its own sound.
        shifted: float [N, K], of each clip with its sound from earlier or later on.
        fits: bool [N, K], which of those are within the clip; one at least is.
    """
    higher = torch.zeros(len(in_step), len(shifted))
    for row, own in enumerate(in_step):
        higher[row] = (((own > shifted).float() + (own == shifted).float() / 2) * fits).sum(dim=1)
    each = fits.sum(dim=1).float()
    value = float(higher.sum() / (len(in_step) * each.sum()))
    counts = resampled_counts(len(in_step), generator(0, "sync")).float()  # [R, N]
    areas = ((counts @ higher) * counts).sum(dim=1) / (len(in_step) * (counts @ each))
    return percentiles(value, areas)


def attention_in_boxes(attention: Tensor, boxes: Tensor) -> Tensor:
    """Float [N]: the share of each clip's attention that lies in a box; a place on its edge counts in part.

    Args:
        attention: [N, L], L = s * s places row by row, adding up to 1.
        boxes: [N, 4], left, top, right, bottom as shares of what the encoder is shown.
    """
    side = round(attention.shape[1] ** 0.5)
    left, top, right, bottom = boxes.to(attention).unbind(dim=1)
    return torch.einsum("nyx,ny,nx->n", attention.unflatten(1, (side, side)), _covered(top, bottom, side),
                        _covered(left, right, side))  # fmt: skip


def _covered(low: Tensor, high: Tensor, side: int) -> Tensor:
    """Float [N, side]: which share of each of so many equal stretches of 0 to 1 lies from low to high."""
    edges = torch.arange(side + 1, device=low.device) / side
    return (torch.minimum(high[:, None], edges[1:]) - torch.maximum(low[:, None], edges[:-1])).clamp(min=0) * side
