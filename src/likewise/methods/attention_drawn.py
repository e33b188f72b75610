"""Attention laid over a clip's frames, for the run's page."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from likewise.methods.illustration import Illustration, Picture

CLIPS, FRAMES = 6, 3
"""How many clips are drawn, and how many frames of each."""


def draw_attention(clips: Tensor, attention: Tensor) -> Illustration:
    """A few clips, frames as they are above and with the attention as light below.

    Args:
        clips: [B, T, C, S, S] in [0, 1].
        attention: [B, L], L = s * s row by row, adding up to 1.
    """
    side = round(attention.shape[1] ** 0.5)
    light = F.interpolate(attention.float().view(-1, 1, side, side), clips.shape[-1], mode="bilinear")
    light = light / light.amax(dim=(2, 3), keepdim=True)
    shown = torch.linspace(0, clips.shape[1] - 1, min(FRAMES, clips.shape[1])).round().long().tolist()
    rows = []
    for clip, bright, weights in zip(clips[:CLIPS], light, attention, strict=False):
        most = f"{weights.max().item() * len(weights):.1f} times an even share at most"
        plain = [Picture(clip[t], f"frame {t + 1}", "frames") for t in shown]
        lit = [Picture(clip[t] * (0.15 + 0.85 * bright), "" if t else most, "attention") for t in shown]
        rows.append(plain + lit)
    return Illustration(
        "Where it sounds",
        "Frames of training clips, and beside them the same frames lit by how well each place fits the clip's sound.",
        rows,
    )
