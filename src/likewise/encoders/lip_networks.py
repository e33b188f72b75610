"""Networks for moving lips: a convolution over space and time, a ResNet for each frame, a Conformer over the frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from likewise.encoders.clip_networks import ClipEncoder
from likewise.encoders.conformer import Conformer, ConformerBlock
from likewise.errors import LikewiseError, did_you_mean


class LipShape(NamedTuple):
    """Sizes of a network for lips."""

    widths: tuple[int, ...]
    """of the ResNet's stages; the first is the front-end's too, and every later stage halves the map"""
    blocks: int
    """of two convolutions, in each stage"""
    width: int
    """numbers in each frame's feature: the Conformer's"""
    heads: int
    """of its attention"""
    hidden: int
    """inside its feed-forward layers"""
    kernel: int
    """frames that its convolution looks at"""
    layers: int
    """its blocks"""
    dropout: float
    """in training"""


LIPS = {
    "lip-small": LipShape(
        widths=(16, 32, 64),
        blocks=1,
        width=64,
        heads=2,
        hidden=256,
        kernel=15,
        layers=2,
        dropout=0.0,
    ),
    "lip-resnet18": LipShape(
        widths=(64, 128, 256, 512),
        blocks=2,
        width=256,
        heads=4,
        hidden=2048,
        kernel=31,
        layers=6,
        dropout=0.1,
    ),
}
"""By name. lip-small is for 32 pixels on a CPU; lip-resnet18 for 88, a ResNet-18 and the Conformer of the authors'
group's public code, https://github.com/mpc001/Visual_Speech_Recognition_for_Multiple_Languages, six blocks."""


class LipEncoder(ClipEncoder):
    """Clips in, a feature for each frame out, none lost: after Ma et al. 2021, Sec. 2, https://arxiv.org/abs/2106.09171.

    `frame_features` gives [B, T, width]; ``feature_map`` the same as [B, width, T, 1, 1]; ``forward`` its mean over
    time. Colour is made grey inside. The front-end is that of Stafylakis & Tzimiropoulos 2017, with SiLU throughout.
    """

    def __init__(self, shape: LipShape, mean: Sequence[float], std: Sequence[float]) -> None:
        width_in = shape.widths[0]
        residual: list[nn.Module] = []
        for width in shape.widths:
            stride = 2 if residual else 1
            residual.append(_residual_stage(width_in, width, shape.blocks, stride))
            width_in = width
        stages = [_front_end(shape.widths[0]), *residual, _OverTime(shape)]
        self.shape = shape
        super().__init__(stages, shape.width, mean, std)

    def another_stage(self) -> nn.Module:
        """One more block of the Conformer."""
        return _MoreTime(self.shape)

    def normalise(self, pixels: Tensor) -> Tensor:
        """Float [B, T, C, S, S] in [0, 1] -> grey, of zero mean, [B, 1, T, S, S]."""
        return super().normalise(pixels).mean(dim=1, keepdim=True)

    def frame_features(self, pixels: Tensor, valid: Tensor | None = None) -> Tensor:
        """Float [B, T, C, S, S] in [0, 1] -> [B, T, width].

        Args:
            pixels: clips.
            valid: bool [B, T], false behind a clip's end: padding does not influence earlier frames, except
                through the statistics of batch normalisation in training. None: all frames are valid.
        """
        maps = self.normalise(pixels)
        if valid is not None:
            maps = maps * valid[:, None, :, None, None]
        *before, over_time = self.parts
        for stage in before:
            maps = stage(maps)
        return over_time(maps, valid)[..., 0, 0].mT

    def forward(self, pixels: Tensor, valid: Tensor | None = None) -> Tensor:
        """Float [B, T, C, S, S] in [0, 1] -> [B, width]: the mean over valid frames."""
        if valid is None:
            return super().forward(pixels)
        weight = valid[:, :, None].float()  # [B, T, 1]
        features = self.frame_features(pixels, valid)  # [B, T, width]
        return (features * weight).sum(dim=1) / weight.sum(dim=1)

    @property
    def _grey(self) -> Tensor:
        return self.mean.new_zeros(1, 1, 16, 64, 64)


class _PerFrame(nn.Sequential):
    """Image layers applied to each frame: [B, C, T, h, w] -> the same with other C, h, w."""

    def forward(self, input: Tensor) -> Tensor:
        clips, _, length = input.shape[:3]
        frames = input.transpose(1, 2).flatten(0, 1)  # [B T, C, h, w]
        # As weights lie.
        maps = super().forward(frames.contiguous(memory_format=torch.channels_last))
        return maps.unflatten(0, (clips, length)).transpose(1, 2)


class _OverTime(nn.Module):
    """Each frame's map averaged, then the Conformer: [B, C, T, h, w] -> [B, width, T, 1, 1]."""

    def __init__(self, shape: LipShape) -> None:
        super().__init__()
        self.narrow = nn.Linear(shape.widths[-1], shape.width)
        self.conformer = Conformer(
            shape.width, shape.heads, shape.hidden, shape.kernel, shape.layers, shape.dropout
        )

    def forward(self, maps: Tensor, valid: Tensor | None = None) -> Tensor:
        frames = maps.mean(dim=(3, 4)).mT  # [B, T, C]
        states = self.conformer(self.narrow(frames), valid)  # [B, T, width]
        return states.mT[..., None, None]


class _MoreTime(nn.Module):
    """A block of the Conformer on its map [B, width, T, 1, 1]."""

    def __init__(self, shape: LipShape) -> None:
        super().__init__()
        self.block = ConformerBlock(
            shape.width, shape.heads, shape.hidden, shape.kernel, shape.dropout
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.block(maps[..., 0, 0].mT).mT[..., None, None]


class _Residual(nn.Module):
    """Two convolutions with a shortcut (He et al. 2016, https://arxiv.org/abs/1512.03385)."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(width_in, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut: nn.Module = nn.Identity()
        if width_in != width or stride != 1:
            projection = nn.Conv2d(width_in, width, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(width))

    def forward(self, maps: Tensor) -> Tensor:
        return functional.silu(self.convolutions(maps) + self.shortcut(maps))


def _residual_stage(width_in: int, width: int, blocks: int, stride: int) -> _PerFrame:
    first = _Residual(width_in, width, stride)
    others = [_Residual(width, width, 1) for _ in range(blocks - 1)]
    return _PerFrame(first, *others)


def _front_end(width: int) -> nn.Sequential:
    """Five frames and 7x7 pixels at once, then a quarter of the side: [B, 1, T, S, S] -> [B, width, T, S/4, S/4]."""
    convolution = nn.Conv3d(
        1,
        width,
        kernel_size=(5, 7, 7),
        stride=(1, 2, 2),
        padding=(2, 3, 3),
        bias=False,
    )
    pooling = nn.MaxPool3d(kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    return nn.Sequential(convolution, nn.BatchNorm3d(width), nn.SiLU(inplace=True), pooling)


def lip_encoder(name: str, mean: Sequence[float], std: Sequence[float]) -> LipEncoder:
    """Build a network for lips by its name, at random weights.

    Args:
        name: ``lip-small`` or ``lip-resnet18``.
        mean: per colour channel, in [0, 1]; of one channel or of three.
        std: per colour channel.

    Raises:
        LikewiseError: an unknown name.
    """
    if name not in LIPS:
        raise LikewiseError(f"There is no network for lips {name!r}. {did_you_mean(name, LIPS)}")
    return LipEncoder(LIPS[name], mean, std)
