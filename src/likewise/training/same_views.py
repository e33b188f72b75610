"""Views are made in the same way on every rank."""

from __future__ import annotations

import torch

from likewise.collectives import any_over_ranks, world_size
from likewise.views.native.library import leave_out, why_not


def agree_on_views(device: torch.device) -> None:
    """Make views without compiled code where one of the ranks has none, as where its compiler ran out of memory.

    The pixels of the two ways differ in the seventh digit, and so would the steps of N ranks from those of one. Every
    rank must ask.
    """
    if world_size() == 1 or device.type != "cpu":
        return
    reason = why_not()
    if any_over_ranks(bool(reason), device) and not reason:
        leave_out("another process of this run has no compiled code")
