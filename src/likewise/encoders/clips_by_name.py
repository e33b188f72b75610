"""Every network for clips by its name, whatever family it is of."""

from __future__ import annotations

from collections.abc import Sequence

from likewise.encoders import clip_networks, lip_networks
from likewise.encoders.clip_networks import ClipEncoder


def reads_clips(name: str) -> bool:
    """Whether the encoder of that name reads clips rather than images."""
    return name in lip_networks.LIPS or clip_networks.reads_clips(name)


def build_clip_encoder(name: str, mean: Sequence[float], std: Sequence[float]) -> ClipEncoder:
    """A network for clips at random weights; arguments and errors are those of `clip_networks.clip_encoder`."""
    if name in lip_networks.LIPS:
        return lip_networks.lip_encoder(name, mean, std)
    return clip_networks.clip_encoder(name, mean, std)


def names_for_clips() -> list[str]:
    """All of them."""
    return [*clip_networks.clip_encoder_names(), *lip_networks.LIPS]
