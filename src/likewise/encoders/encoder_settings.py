"""What it takes to build an encoder, as a run stores it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import torch

from likewise.data.video.clip_sampling import WHOLE_FRAME, ClipSampling, Region
from likewise.encoders.small import SMALL
from likewise.encoders.weight_normed import NINE

OURS = (*SMALL, *NINE)
"""Names of the library's own image encoders."""

WEIGHTS, SETTINGS = "encoder.safetensors", "encoder.json"
"""Files of a stored encoder."""

RUN_START = "run:"
"""Prefix of ``pretrained`` for a run's folder."""


@dataclass(frozen=True)
class EncoderSettings:
    """Everything needed to rebuild an encoder; stored as JSON next to its weights."""

    name: str
    """``conv4``, ``conv4-half``, ``conv4-double``, ``conv4-wide``, ``conv9``, ``conv9-half``; a timm name such as
    ``timm/resnet18``; ``module:`` and the import path of a user's module"""
    image_size: int
    """side of its square input in pixels"""
    mean: tuple[float, ...]
    """mean of each channel, for pixels in [0, 1]; the encoder subtracts it"""
    std: tuple[float, ...]
    """standard deviation of each channel; the encoder divides by it"""
    small_stem: bool = False
    """whether a ResNet's 7x7 stride-2 stem and max-pool are replaced by a 3x3 stride-1 convolution"""
    pretrained: str = ""
    """initial weights: empty for random ones, ``lite0``, ``timm``, a weights file, ``run:`` and a run's folder, or
    ``module`` for those of a user's module"""
    allow_missing: bool = False
    """whether tensors that the pretrained weights lack may stay random"""
    frames: int = 1
    """frames per input clip; 1 for images"""
    frame_rate: float = 0.0
    """frames per second of the training videos; 0 for images"""
    region: Region = WHOLE_FRAME
    """left, top, right and bottom of the region of each video frame that it sees, as shares of the sides"""
    pixel_range: tuple[float, float] | None = None
    """values of the images' pixels that are 0 and 1 in its input; None: they have 8 bits"""
    pixel_range_given: bool = False
    """whether that range was given to the training, so that values beyond it are to be black or white; else it was
    found in the images"""
    intermediates: int = 0
    """how many of a timm network's last intermediate maps (its ``forward_intermediates``) are pooled and follow the
    features; each part then has unit norm"""
    module: torch.nn.Module | None = field(
        default=None, compare=False, repr=False, metadata={"stored": False}
    )
    """a user's module, whose copies are the encoders; never written to disk, where its import path is in ``name``"""

    def to_json(self) -> dict[str, Any]:
        """Everything but the module itself."""
        stored = [each.name for each in fields(self) if each.metadata.get("stored", True)]
        return {name: getattr(self, name) for name in stored}

    @property
    def given_range(self) -> tuple[float, float] | None:
        """The range of pixels where it was given to the training; None where it was found, or there is none."""
        return self.pixel_range if self.pixel_range_given else None

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return len(self.mean)

    @property
    def clip_sampling(self) -> ClipSampling | None:
        """Frames and frame rate of its clips; None for images."""
        return ClipSampling(self.frames, self.frame_rate) if self.frame_rate > 0 else None
