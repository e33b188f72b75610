"""Global-local contrast on a page: spatial attention laid over a clip's frames."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.even_sample import evenly_spaced
from likewise.methods import Nets, Progress
from likewise.methods.global_local import GlobalLocal, sound_of_view
from likewise.report.pictures.illustration import Illustration, Picture

CLIPS = 6
"""clips that are drawn"""
FRAMES = 3
"""frames drawn of each clip"""
BACKGROUND = 0.15
"""brightness of a pixel without attention, as a share of its own"""


def illustrate_attention(
    method: GlobalLocal, nets: Nets, batch: Batch, progress: Progress
) -> Illustration:
    """The attention of a few clips."""
    view = method.views(batch.pixels, progress.rng("view", batch))
    attention = method.project(nets, view, sound_of_view(view, batch)).attention
    return draw_attention(view.pixels, attention)


def draw_attention(clips: Tensor, attention: Tensor) -> Illustration:
    """A row for each clip: some of its frames, then the same frames lit by the attention.

    Args:
        clips: [B, T, C, S, S] in [0, 1].
        attention: [B, L], L = s * s row by row, adding up to 1.
    """
    side = round(attention.shape[1] ** 0.5)
    maps = attention.float().view(-1, 1, side, side)
    light = F.interpolate(maps, clips.shape[-1], mode="bilinear")  # [B, 1, S, S]
    light = light / light.amax(dim=(2, 3), keepdim=True)
    length = clips.shape[1]
    frames = evenly_spaced(length, FRAMES).tolist()
    rows = []
    for clip, bright, weights in zip(clips[:CLIPS], light, attention, strict=False):
        peak = weights.max().item() * len(weights)
        row = [Picture(clip[t], f"frame {t + 1}", "frames") for t in frames]
        for t in frames:
            caption = "" if t else f"peak: {peak:.1f} times uniform attention"
            lit = clip[t] * (BACKGROUND + (1 - BACKGROUND) * bright)
            row.append(Picture(lit, caption, "attention"))
        rows.append(row)
    return Illustration(
        "Spatial attention to sound",
        "Frames of training clips, and the same frames lit by how similar each location is to the clip's sound.",
        rows,
    )
