"""The contract that every encoder keeps, whoever wrote the network inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from likewise.encoders.checkpoints import KeyMatch
from likewise.errors import LikewiseError
from likewise.field_types import SIZE, typed_arguments

if TYPE_CHECKING:  # which knows the encoders, and so imports this module
    from likewise.encoders.encoder_settings import EncoderSettings


class Encoder(nn.Module):
    """Pixels in, features out.

    ``forward`` gives pooled features [B, width]; ``feature_map`` gives [B, width, s, s]; ``stages`` gives the parts
    that make the map, to be run one by one; ``forward_with_maps`` gives what each of them made. Normalisation belongs
    to the encoder, so views stay in [0, 1].
    """

    mean: Tensor
    std: Tensor
    key_match: KeyMatch | None = None
    """how the file of weights that it started from fitted it; None where it started from none"""
    settings: EncoderSettings | None = None
    """what it is built from and reads, where it is that of a run"""

    @typed_arguments(width=SIZE)
    def __init__(self, width: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    @property
    def has_map(self) -> bool:
        """Whether `feature_map` and `forward_with_maps` give a map; a user's module may give pooled features alone."""
        return True

    @property
    def channels(self) -> int:
        """Colour channels of the images it reads."""
        return self.mean.shape[1]

    def stages(self) -> Sequence[nn.Module]:
        """The parts that turn normalised pixels into the feature map when run in order.

        Raises:
            LikewiseError: the network has none; LoCo, HSAKD and SetSim need them.
        """
        raise LikewiseError(
            f"{type(self).__name__} cannot be run stage by stage, which is needed here. Choose a ResNet, for instance "
            f"--encoder timm/resnet18."
        )

    def another_stage(self) -> nn.Module:
        """A new stage like the last one, to run after it: [B, width, s, s] -> the same shape.

        Raises:
            LikewiseError: the network has none; HSAKD needs it.
        """
        raise LikewiseError(
            f"{type(self).__name__} cannot be given another stage, which this method needs. Choose a ResNet, for "
            f"instance --encoder timm/resnet18."
        )

    def normalise(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> zero mean, unit variance per channel.

        Raises:
            LikewiseError: the pixels are whole numbers, which would be taken for a hundred times too bright.
        """
        if not pixels.is_floating_point():
            raise LikewiseError(
                f"The encoder was given pixels of {pixels.dtype}; it reads floats in [0, 1]: pixels / 255 of 8 bits."
            )
        return (pixels - self.mean) / self.std

    @torch.no_grad()
    def stage_widths(self) -> list[int]:
        """Channels of the map after each stage, found by showing them a grey square or clip."""
        training = self.training
        self.eval()
        maps = self._grey
        widths: list[int] = []
        for stage in self.stages():
            maps = stage(maps)
            widths.append(maps.shape[1])
        self.train(training)
        return widths

    @property
    def _grey(self) -> Tensor:
        return self.mean.new_zeros(1, self.channels, 64, 64)

    def stage_maps(self, pixels: Tensor) -> list[Tensor]:
        """Float [B, C, S, S] in [0, 1] -> the map after each stage, [B, width of the stage, s, s]."""
        maps, made = self.normalise(pixels), []
        for stage in self.stages():
            maps = stage(maps)
            made.append(maps)
        return made

    def feature_map(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> [B, width, s, s]."""
        maps = self.normalise(pixels)
        for stage in self.stages():
            maps = stage(maps)
        return maps

    def forward_with_maps(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What `forward` gives, and the map [B, D_i, s_i, s_i] after each stage, the last being `feature_map`'s.

        A network that cannot be run stage by stage has its last map alone.
        """
        maps = self.stage_maps(pixels)
        return self.pool(maps[-1]), maps

    @torch.no_grad()
    def map_shapes(self, size: int) -> list[tuple[int, int]]:
        """Channels and side of each map of `forward_with_maps`, found by showing a grey square of ``size`` pixels."""
        training = self.training
        self.eval()
        _, maps = self.forward_with_maps(self.mean.expand(1, -1, size, size))
        self.train(training)
        shapes = []
        for each in maps:
            shapes.append((each.shape[1], min(each.shape[2:])))
        return shapes

    def pool(self, maps: Tensor) -> Tensor:
        """[B, width, s, s], or [B, width, t, s, s] of clips, -> [B, width]."""
        return maps.mean(dim=tuple(range(2, maps.dim())))

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> pooled features [B, width]."""
        return self.pool(self.feature_map(pixels))
