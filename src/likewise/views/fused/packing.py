"""The parameters of a batch of views in one float32 matrix, a row per image, so that they reach a GPU in one copy."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from likewise.views.image.colour import COLOUR_OPS
from likewise.views.image.view_params import ColourParams, ViewParams

BOX = 0
FACTORS = BOX + 6
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

    rows: Tensor
    """float32 [B, columns]"""
    coloured: bool = False
    """whether there are colour augmentations; without them and Cutout a row is its box alone"""
    blurs: bool = False
    """whether a row may be blurred"""
    scaled: bool = False
    """whether channels have factors of their own"""
    cutout_side: float = 0.0
    """Cutout's side as a share of the view's; 0: no Cutout"""

    def to(self, device: torch.device) -> Packed:
        """On a device; the host does not wait for the copy."""
        if self.rows.device == device or device.type == "cpu":
            return self._replace(rows=self.rows.to(device))
        return self._replace(rows=self.rows.pin_memory().to(device, non_blocking=True))

    @property
    def box(self) -> Tensor:
        """[B, 2, 3]: see ``View.box``."""
        return self.rows[:, BOX:FACTORS].unflatten(1, (2, 3))


def pack(params: ViewParams) -> Packed:
    """On the device of the box. RandAugment's operations are not among them."""
    boxes = params.box.flatten(1)
    if params.colour is None and params.cutout is None:
        return Packed(boxes.float().contiguous())
    rows, device = len(boxes), boxes.device
    columns = [boxes, *_colour_columns(params.colour, rows)]
    columns.append(torch.zeros(rows, 2) if params.cutout is None else params.cutout.centre)
    if params.colour is not None and params.colour.channel_factors is not None:
        columns.append(params.colour.channel_factors)
    matrix = torch.cat([column.to(device, torch.float32) for column in columns], dim=1)
    side = 0.0 if params.cutout is None else params.cutout.side
    if params.colour is None:
        return Packed(matrix, cutout_side=side)
    blurs = bool(params.colour.blurred.any())
    return Packed(matrix, True, blurs, params.colour.channel_factors is not None, side)


def _colour_columns(colour: ColourParams | None, rows: int) -> list[Tensor]:
    if colour is None:
        return [torch.zeros(rows, CUTOUT - FACTORS)]
    flags = torch.stack([colour.grey.float(), colour.blurred.float(), colour.sigma, colour.solarized.float()], dim=1)
    return [colour.factors, colour.order, flags]
