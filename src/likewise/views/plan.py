"""What chance has decided about a batch of views, before any pixel is touched."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Changes(NamedTuple):
    """What is done to each view after its crop, in the order of these fields. One row an image."""

    factors: Tensor
    """float32 [B, 4]: a factor for each of ``colour.CHANGES``"""
    order: Tensor
    """int64 [B, 4]: each row's places in ``colour.CHANGES``, first to last; -1 leaves out"""
    grey: Tensor
    """bool [B]: loses all colour"""
    blurred: Tensor
    """bool [B]"""
    sigma: Tensor
    """float32 [B]: the blur's standard deviation in the view's pixels"""
    solarized: Tensor
    """bool [B]"""


class Plan(NamedTuple):
    """Everything about a batch of views but the pixels. Two ways of making views from one plan give equal views."""

    box: Tensor
    """float32 [B, 2, 3]: see ``View.box``"""
    changes: Changes | None = None
    """None: the crop is the view"""

    def repeated(self, times: int) -> Plan:
        """The plan of clips' frames, one after the other: all frames of a clip are cropped and coloured alike."""
        changes = self.changes and Changes(*(each.repeat_interleave(times, dim=0) for each in self.changes))
        return Plan(self.box.repeat_interleave(times, dim=0), changes)
