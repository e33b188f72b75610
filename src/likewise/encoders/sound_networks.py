"""Networks for sound: one-dimensional residual networks along the time of a log-mel spectrogram."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from likewise.errors import LikewiseError, did_you_mean


class SoundShape(NamedTuple):
    """Widths and depth of an audio network."""

    widths: tuple[int, ...]
    """channels of its stages"""
    blocks: int
    """residual blocks in each"""


SOUND_NETWORKS = {
    "small": SoundShape((64, 96, 128), blocks=1),
    "resnet18": SoundShape((64, 128, 256, 512), blocks=2),
}
"""small: quick enough to train on a CPU; resnet18: as wide and as deep as ResNet-18 (He et al. 2016, Table 1)."""


class SoundNetwork(nn.Module):
    """A 1D residual network without stride: [B, bands, T] -> [B, width, T]; mel bands are the input channels.

    The residual blocks of ResNet-18 (He et al. 2016, https://arxiv.org/abs/1512.03385) with kernels of three steps,
    after a first convolution of seven steps.

    Args:
        bands: of the spectrogram.
        shape: how wide and how deep.
    """

    def __init__(self, bands: int, shape: SoundShape) -> None:
        super().__init__()
        self.bands, self.width = bands, shape.widths[-1]
        before = shape.widths[0]
        self.first = nn.Conv1d(bands, before, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm1d(before)
        self.stages = nn.Sequential()
        for width in shape.widths:
            for _ in range(shape.blocks):
                self.stages.append(_Block(before, width))
                before = width

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Float [B, bands, T] -> [B, width, T]."""
        if spectrogram.dim() != 3 or spectrogram.shape[1] != self.bands:
            raise LikewiseError(
                f"A network for sound of {self.bands} bands reads [B, {self.bands}, T]; "
                f"{tuple(spectrogram.shape)} was given."
            )
        features = self.first(spectrogram.to(self.first.weight.dtype))
        return self.stages(torch.relu(self.norm(features)))


class _Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv1d(width_in, width_out, 3, padding=1, bias=False),
            nn.BatchNorm1d(width_out),
            nn.ReLU(inplace=True),
            nn.Conv1d(width_out, width_out, 3, padding=1, bias=False),
            nn.BatchNorm1d(width_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if width_in != width_out:
            projection = nn.Conv1d(width_in, width_out, 1, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm1d(width_out))

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.residual(features) + self.shortcut(features))


def sound_network(name: str, bands: int) -> SoundNetwork:
    """Build a network for sound by its name.

    Args:
        name: ``small`` or ``resnet18``.
        bands: of the spectrogram that it reads.

    Raises:
        LikewiseError: an unknown name.
    """
    if name not in SOUND_NETWORKS:
        raise LikewiseError(
            f"There is no network for sound {name!r}. {did_you_mean(name, SOUND_NETWORKS)}"
        )
    return SoundNetwork(bands, SOUND_NETWORKS[name])
