"""The parameters of a batch of views in one float32 matrix, a row per image, so that they reach a GPU in one copy."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likewise.gpu_kernels import to_device
from likewise.views.image.colour import COLOUR_OPS
from likewise.views.image.view_params import ColourParams, ColourRows, ViewParams

FACTORS = 0
ORDER = FACTORS + len(COLOUR_OPS)
GREY = ORDER + len(COLOUR_OPS)
BLURRED = GREY + 1
SIGMA = BLURRED + 1
SOLARIZED = SIGMA + 1
CUTOUT = SOLARIZED + 1
CHANNEL_FACTORS = CUTOUT + 2
"""The first column of each part."""


class Packed(NamedTuple):
    """What the kernels need to know of a batch of views."""

    box: Tensor
    """float32 [B, 2, 3], contiguous: see ``View.box``"""
    rows: Tensor | None = None
    """float32 [B, columns], contiguous; None: views are crops alone"""
    coloured: bool = False
    """whether there are colour augmentations"""
    blurs: bool = False
    """whether a row may be blurred"""
    solarizes: bool = False
    """whether one may be solarized"""
    scaled: bool = False
    """whether channels have factors of their own"""
    cutout_side: float = 0.0
    """Cutout's side as a share of the view's; 0: no Cutout"""

    def to(self, device: torch.device) -> Packed:
        """On a device; the host does not wait for the copies."""
        rows = None if self.rows is None else to_device(self.rows, device)
        return self._replace(box=to_device(self.box, device), rows=rows)


def pack(params: ViewParams) -> Packed:
    """RandAugment's operations are not included. Parts stay on their devices, but for colours, which are packed."""
    box = params.box.float().contiguous()
    colour, cutout = params.colour, params.cutout
    if isinstance(colour, ColourRows):
        side = 0.0 if cutout is None else cutout.side
        return Packed(
            box,
            colour.rows,
            coloured=True,
            blurs=colour.blurs,
            solarizes=colour.solarizes,
            scaled=colour.scaled,
            cutout_side=side,
        )
    if colour is None and cutout is None:
        return Packed(box)
    columns = _colour_columns(colour, len(box))
    columns.append(torch.zeros(len(box), 2) if cutout is None else cutout.centre)
    factors = None if colour is None else colour.channel_factors
    if factors is not None:
        columns.append(factors)
    rows = torch.cat([column.float() for column in columns], dim=1)
    return Packed(
        box,
        rows,
        coloured=colour is not None,
        blurs=colour is not None and bool(colour.blurred.any()),
        solarizes=colour is not None and bool(colour.solarized.any()),
        scaled=factors is not None,
        cutout_side=0.0 if cutout is None else cutout.side,
    )


def _colour_columns(colour: ColourParams | None, rows: int) -> list[Tensor]:
    if colour is None:
        return [torch.zeros(rows, CUTOUT - FACTORS)]
    flags = [
        colour.grey.float(),
        colour.blurred.float(),
        colour.sigma,
        colour.solarized.float(),
    ]
    return [colour.factors, colour.order, torch.stack(flags, dim=1)]
