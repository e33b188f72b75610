"""Measures of video and sound: are they synchronous, and does attention lie on the source of the sound."""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.evaluation.statistics.bootstrap import percentiles, resampled_counts
from likewise.evaluation.statistics.confidence import Interval
from likewise.randomness import generator

BOOTSTRAP = "bootstrap over test clips, 1,000 samples, percentiles, 95%"


def sync_auc(synchronous: Tensor, shifted: Tensor, valid: Tensor) -> Interval:
    """How well a score separates synchronous sound from shifted sound: the area under the ROC curve.

    The chance that a synchronous clip scores higher than a shifted one of any clip, ties counting half; 0.5 is chance.

    Args:
        synchronous: float [N], the score of each clip with the sound at its time.
        shifted: float [N, K], the score of each clip with its sound from earlier or later.
        valid: bool [N, K], which of those shifts stay within the clip; at least one does.
    """
    count = len(synchronous)
    # [N, N]: over how many shifts of clip m synchronous clip n wins
    wins = torch.zeros(count, count)
    for row, own in enumerate(synchronous):
        won = (own > shifted).float() + (own == shifted).float() / 2  # [N, K]
        wins[row] = (won * valid).sum(dim=1)
    shifts = valid.sum(dim=1).float()  # [N]
    value = float(wins.sum() / (count * shifts.sum()))
    samples = resampled_counts(count, generator(0, "sync")).float()  # [R, N]
    won = ((samples @ wins) * samples).sum(dim=1)  # [R]
    areas = won / (count * (samples @ shifts))
    return percentiles(value, areas)


def attention_in_boxes(attention: Tensor, boxes: Tensor) -> Tensor:
    """Float [N]: the share of each clip's attention inside a box; a location on its edge counts in part.

    Args:
        attention: [N, L], over L = s * s locations row by row, adding up to 1.
        boxes: [N, 4], left, top, right, bottom relative to the encoder's view.
    """
    side = round(attention.shape[1] ** 0.5)
    left, top, right, bottom = boxes.to(attention).unbind(dim=1)
    rows = _covered(top, bottom, side)  # [N, s]
    columns = _covered(left, right, side)  # [N, s]
    maps = attention.unflatten(1, (side, side))  # [N, s, s]
    return torch.einsum("nyx,ny,nx->n", maps, rows, columns)


def _covered(low: Tensor, high: Tensor, side: int) -> Tensor:
    """Float [N, side]: the share of each of ``side`` equal parts of 0 to 1 between low and high."""
    edges = torch.arange(side + 1, device=low.device) / side
    end = torch.minimum(high[:, None], edges[1:])
    begin = torch.maximum(low[:, None], edges[:-1])
    return (end - begin).clamp(min=0) * side
