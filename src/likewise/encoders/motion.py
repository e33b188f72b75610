"""Networks for views of motion."""

from __future__ import annotations

from torch import Tensor, nn

from likewise.encoders.build import build_encoder
from likewise.encoders.choose import choose_encoder
from likewise.encoders.clip_networks import ClipEncoder, clip_encoder, clip_encoder_names
from likewise.encoders.encoder import Encoder
from likewise.views.motion.motion_views import MotionViews


class FrameByFrame(nn.Module):
    """An image encoder on each frame of a sequence; the output is the mean over frames, so order does not matter."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder, self.width = encoder, encoder.width

    def forward(self, frames: Tensor) -> Tensor:
        """Float [B, T, C, S, S] -> [B, width]."""
        # [B, T, width]
        of_frames = self.encoder(frames.flatten(0, 1))  # [B T, width]
        features = of_frames.unflatten(0, frames.shape[:2])
        return features.mean(dim=1)


def motion_network(
    name: str, views: MotionViews, frame_channels: int
) -> FrameByFrame | ClipEncoder:
    """A network at random weights for views of motion, float [B, T, channels, s, s] -> [B, width].

    Args:
        name: of an encoder for clips, or of one for images, which is applied to each frame.
        views: its input; values are not normalised.
        frame_channels: channels of a frame of the clip.
    """
    channels = views.channels(frame_channels)
    mean, std = (0.0,) * channels, (1.0,) * channels
    if name in clip_encoder_names():
        return clip_encoder(name, mean, std)
    return FrameByFrame(build_encoder(choose_encoder(name, views.size, mean, std)))
