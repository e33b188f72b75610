"""What a user's module gave for a fixed picture, kept beside its weights.

Weights fit any module with the same names and shapes. Another activation, a hook, or a layer in a plain list changes
what it gives and none of those. So a run stores some features of one picture, and whoever loads it compares.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from likewise.encoders.encoder import Encoder
from likewise.encoders.eval_mode import eval_mode
from likewise.errors import LikewiseError

ANSWER = "answer"
"""The entry of ``encoder.json``."""

MOST = 64
"""features that are stored"""

TOLERANCE = 0.05
"""Of the largest feature: TensorFloat32 and other devices stay below it."""


def answer_of(encoder: Encoder, image_size: int) -> list[float] | None:
    """The first features of an encoder for the picture, in eval mode; None where it does not give the same twice."""
    # A module may draw random numbers, and those of the program are left alone.
    with eval_mode(encoder), torch.no_grad(), torch.random.fork_rng(devices=[]):
        picture = _picture(encoder.channels, image_size).to(encoder.mean.device)
        first, second = (encoder(picture)[0, :MOST].float().cpu() for _ in range(2))
    is_finite = bool(first.isfinite().all())
    return first.tolist() if is_finite and torch.equal(first, second) else None


def check_answer(
    encoder: Encoder, stored: list[float], image_size: int, name: str, given: bool
) -> None:
    """Compare an encoder that was built again, and whose weights were loaded, with the stored features.

    Args:
        encoder: in any mode.
        stored: what `answer_of` gave.
        image_size: of the encoder's settings.
        name: of the encoder.
        given: whether the user passed the module, who is warned then.

    Raises:
        LikewiseError: it gives something else, and was built from its class's name.
    """
    now = answer_of(encoder, image_size)
    if now is None:
        return
    before, after = torch.tensor(stored), torch.tensor(now)
    if before.shape == after.shape and (before - after).abs().max() <= _tolerance(before):
        return
    differs = (
        f"{name} has the weights of the run and gives other features than it gave there ({_shown(after)} where "
        f"{_shown(before)} was stored)"
    )
    if given:
        warnings.warn(
            f"The encoder {differs}. Pass a module that was made as the one in training was, with its arguments, "
            f"hooks and parts.",
            stacklevel=2,
        )
        return
    raise LikewiseError(
        f"The encoder {differs}. It was built from its class alone, without arguments, hooks or parts that were "
        f"added. Pass a module that was made as the one in training was: likewise.load(path, encoder=module)."
    )


def _picture(channels: int, side: int) -> Tensor:
    """[1, C, S, S] in [0, 1]; multiples of the golden ratio, which look like noise and are the same everywhere."""
    places = torch.arange(channels * side * side, dtype=torch.float64)
    return (places * 0.6180339887498949 % 1).float().view(1, channels, side, side)


def _tolerance(features: Tensor) -> float:
    return TOLERANCE * float(features.abs().max()) + 1e-6


def _shown(features: Tensor) -> str:
    return ", ".join(f"{value:.3g}" for value in features[:3].tolist())
