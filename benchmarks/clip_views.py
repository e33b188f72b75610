"""The view by which likewise and torchvision are compared: SimCLR's without blur, the same for all frames of a clip."""

from __future__ import annotations

from dataclasses import replace

import torch
from torchvision.transforms import v2

from likewise.views.policies import simclr
from likewise.views.view_policy import ViewPolicy


def our_view(size: int) -> ViewPolicy:
    """Ours; torchvision would blur frame by frame."""
    return replace(simclr(0.5), blur=0.0, size=size)


def torchvision_view(size: int) -> v2.Compose:
    """Torchvision's, for one clip at a time."""
    jitter = v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8)
    return v2.Compose([
        v2.RandomResizedCrop(size, (0.08, 1.0), antialias=True), v2.RandomHorizontalFlip(), jitter,
        v2.RandomGrayscale(0.2), v2.ToDtype(torch.float32, scale=True),
    ])  # fmt: skip
