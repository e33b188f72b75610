"""Networks that read pictures of motion."""

from __future__ import annotations

from torch import Tensor, nn

from likewise.encoders.build import build_encoder, choose_encoder
from likewise.encoders.clip_networks import ClipEncoder, clip_encoder, clip_encoder_names
from likewise.encoders.encoder import Encoder
from likewise.views.motion.motion_views import MotionViews


class FrameByFrame(nn.Module):
    """An encoder of stills that sees each picture of a sequence by itself, and the mean of what it makes of them.

    It cannot tell in which order they came.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.width = encoder, encoder.width

    def forward(self, frames: Tensor) -> Tensor:
        """Float [B, T, C, S, S] -> [B, width]."""
        return self.encoder(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).mean(dim=1)


def motion_network(name: str, views: MotionViews, of_pixels: int) -> FrameByFrame | ClipEncoder:
    """A network at random weights for views of motion, float [B, T, channels, s, s] -> [B, width].

    Args:
        name: of an encoder for clips, or of one for stills, which sees each picture by itself.
        views: what it is shown, with values as they are.
        of_pixels: channels of a frame.
    """
    channels = views.channels(of_pixels)
    mean, std = (0.0,) * channels, (1.0,) * channels
    if name in clip_encoder_names():
        return clip_encoder(name, mean, std)
    return FrameByFrame(build_encoder(choose_encoder(name, views.size, mean, std)))
