"""Networks for clips: convolutions over space and time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from likewise.encoders.encoder import Encoder
from likewise.errors import LikewiseError, did_you_mean

OURS = "r2plus1d-small"
"""Four stages of factored convolutions, quick enough to train on a CPU at 32 to 64 pixels."""

WIDTHS = (16, 32, 64, 128)
"""Channels of its stages."""
STRIDES = ((1, 2), (2, 2), (2, 2), (2, 1))
"""Their strides in time and in space."""

TORCHVISION = ("r3d_18", "mc3_18", "r2plus1d_18", "s3d")


class ClipEncoder(Encoder):
    """Clips in, features out: the contract of `Encoder` with time before space.

    ``forward`` takes float [B, T, C, S, S]; ``feature_map`` gives [B, width, t, s, s].
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        width: int,
        mean: Sequence[float],
        std: Sequence[float],
        network: nn.Module | None = None,
    ) -> None:
        super().__init__(width, mean, std)
        self.parts = nn.ModuleList(stages)
        self._network = [network or self]  # in a list: its parts are registered once

    @property
    def network(self) -> nn.Module:
        """The network under the names that its authors gave its weights, which are the stages' own."""
        return self._network[0]

    def stages(self) -> Sequence[nn.Module]:
        """The network's stages, from normalised clips [B, C, T, S, S] to the map."""
        return list(self.parts)

    def another_stage(self) -> nn.Module:
        """One more factored convolution."""
        return FactoredConvolution(self.width, self.width, (1, 1))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Float [B, T, C, S, S] in [0, 1] -> zero mean, unit variance per channel, [B, C, T, S, S]."""
        if pixels.dim() != 5:
            raise LikewiseError(
                f"A network for clips reads [B, T, C, S, S]; {tuple(pixels.shape)} was given."
            )
        return super().normalise(pixels).transpose(1, 2)

    @property
    def _grey(self) -> Tensor:
        return self.mean.new_zeros(1, self.channels, 16, 64, 64)


class FactoredConvolution(nn.Sequential):
    """A convolution over space, then one over time (Tran et al. 2018, Sec. 3.5, https://arxiv.org/abs/1711.11248).

    Between the two as many channels as give the pair the parameters of one convolution over both.
    """

    def __init__(self, width_in: int, width_out: int, strides: tuple[int, int]) -> None:
        # 27 weights a pair of channels for a 3x3x3 convolution; 9 for a 3x3 one and 3 for one over time.
        between = max((27 * width_in * width_out) // (9 * width_in + 3 * width_out), 1)
        in_time, in_space = strides
        over_space = nn.Conv3d(
            width_in,
            between,
            kernel_size=(1, 3, 3),
            stride=(1, in_space, in_space),
            padding=(0, 1, 1),
            bias=False,
        )
        over_time = nn.Conv3d(
            between,
            width_out,
            kernel_size=(3, 1, 1),
            stride=(in_time, 1, 1),
            padding=(1, 0, 0),
            bias=False,
        )
        super().__init__(
            over_space,
            nn.BatchNorm3d(between),
            nn.ReLU(inplace=True),
            over_time,
            nn.BatchNorm3d(width_out),
            nn.ReLU(inplace=True),
        )


def clip_encoder(name: str, mean: Sequence[float], std: Sequence[float]) -> ClipEncoder:
    """Build a network for clips by its name.

    Args:
        name: ``r2plus1d-small``, or ``torchvision/`` and one of its video networks, at random weights.
        mean: per channel, in [0, 1].
        std: per channel.

    Raises:
        LikewiseError: an unknown name, or gray clips for a network that reads colour alone.
    """
    if name == OURS:
        before = (len(mean), *WIDTHS[:-1])
        stages = list(map(FactoredConvolution, before, WIDTHS, STRIDES))
        return ClipEncoder(stages, WIDTHS[-1], mean, std)
    known = name.removeprefix("torchvision/")
    if known not in TORCHVISION:
        raise LikewiseError(
            f"There is no network for clips {name!r}. {did_you_mean(name, clip_encoder_names())}"
        )
    if len(mean) != 3:
        raise LikewiseError(
            f"{name} reads colour clips of 3 channels. Choose --encoder {OURS} for {len(mean)}."
        )
    from torchvision.models import video

    network: Any = getattr(video, known)(weights=None)
    if known == "s3d":
        return ClipEncoder([network.features], 1024, mean, std, network)
    stages = [
        nn.Sequential(network.stem, network.layer1),
        network.layer2,
        network.layer3,
        network.layer4,
    ]
    return ClipEncoder(stages, network.fc.in_features, mean, std, network)


def reads_clips(name: str) -> bool:
    """Whether the encoder of that name reads clips rather than images."""
    return name == OURS or name.startswith("torchvision/")


def clip_encoder_names() -> list[str]:
    """Every name that `clip_encoder` takes."""
    return [OURS, *(f"torchvision/{name}" for name in TORCHVISION)]
