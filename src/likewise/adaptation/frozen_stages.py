"""An encoder cut in two, so that its frozen first part is computed once for all steps of fine-tuning the rest."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from likewise.adaptation.learning_parameters import blocks_of
from likewise.encoders import Encoder
from likewise.errors import LikewiseError

TOLERANCE = 1e-3
"""of the relative difference between the encoder's features and those of its two parts"""


class SplitEncoder(NamedTuple):
    """The two parts of an encoder: ``rest(first(pixels))`` equals ``encoder(pixels)``."""

    first: FirstStages
    """float [B, C, S, S] in [0, 1] -> maps [B, D, h, w]"""
    rest: Encoder
    """maps [B, D, h, w] -> features; its parameters have the names that they have in the whole encoder"""

    def whole(self, encoder: Encoder, rest: Encoder) -> Encoder:
        """A copy of the encoder with the parameters of a fine-tuned second part."""
        joined = copy.deepcopy(encoder)
        own = {
            name: tensor
            for name, tensor in rest.state_dict().items()
            if name not in ("mean", "std")
        }
        joined.load_state_dict(own, strict=False)
        return joined


class FirstStages(nn.Module):
    """What an encoder computes before one of its blocks."""

    def __init__(self, encoder: Encoder, block: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self._block = [block]  # in a list, so that it is no part of this module twice

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> the block's input [B, D, h, w]."""
        handle = self._block[0].register_forward_pre_hook(_stop)
        try:
            self.encoder(pixels)
        except _Reached as reached:
            return reached.maps
        finally:
            handle.remove()
        raise LikewiseError("The encoder has not run the block before which it was to stop.")


class _Reached(Exception):
    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = maps


def _stop(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    raise _Reached(inputs[0])


def split_before_last(encoder: Encoder, blocks: int, size: int) -> SplitEncoder | None:
    """Cut an encoder before its last blocks, as ``last:N`` counts them.

    Args:
        encoder: a convolutional network whose parts run in the order in which they are registered.
        blocks: how many blocks the second part has.
        size: side in pixels of the images, for the check that the parts make the whole.

    Returns:
        None where the encoder cannot be cut so: one with other inputs to its blocks, such as position embeddings.
    """
    try:
        learning = [
            block for block in blocks_of(encoder) if next(block.parameters(), None) is not None
        ][-blocks:]
    except LikewiseError:
        return None
    first = FirstStages(encoder, learning[0])
    rest = _without_what_precedes(encoder, learning[0])
    random = torch.Generator().manual_seed(0)
    pixels = torch.rand(2, encoder.channels, size, size, generator=random)
    pixels = pixels.to(encoder.mean.device)
    return SplitEncoder(first, rest) if _make_the_whole(encoder, first, rest, pixels) else None


def _without_what_precedes(encoder: Encoder, block: nn.Module) -> Encoder:
    """A copy whose modules before a block do nothing, and which takes maps as they are."""
    place = next(name for name, module in encoder.named_modules() if module is block)
    rest = copy.deepcopy(encoder)
    parent: nn.Module = rest
    for name in place.split("."):
        for before, _ in list(parent.named_children()):
            if before == name:
                break
            setattr(parent, before, nn.Identity())
        parent = getattr(parent, name)
    rest.mean = torch.zeros_like(rest.mean)[:, :1]
    rest.std = torch.ones_like(rest.std)[:, :1]
    return rest


@torch.no_grad()
def _make_the_whole(encoder: Encoder, first: FirstStages, rest: Encoder, pixels: Tensor) -> bool:
    try:
        expected, found = encoder(pixels), rest(first(pixels))
    except Exception:  # a network with other inputs to its blocks fails in its own way
        return False
    if expected.shape != found.shape:
        return False
    return float((expected - found).norm()) <= TOLERANCE * float(expected.norm())
