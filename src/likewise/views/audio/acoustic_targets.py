"""What there is to predict of a sound: numbers for each instant, from a spectrum, or from a network of the user's."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from likewise.data.video.video_decoding import SOUND_RATE
from likewise.errors import LikewiseError, did_you_mean
from likewise.views.audio.log_mel import LogMel, cepstrum

AcousticTarget = Callable[[Tensor], Tensor]
"""Float [B, samples] in [-1, 1] at 16 kHz -> [B, steps, F]: steps at equal distances over the whole of the sound."""

TARGETS: dict[str, AcousticTarget] = {}
"""Targets of the user's own by name: ``TARGETS["own"] = network`` before training with ``target="own"``."""

BUILT_IN = ("logmel", "mfcc")
COEFFICIENTS = 13
"""of mfcc"""


def acoustic_target(name: str, bands: int = 80) -> AcousticTarget:
    """A target by its name.

    Args:
        name: ``logmel``, the energies of bands of frequency; ``mfcc``, 13 cepstral coefficients of them, steps of 10 ms
            either; a name in `TARGETS`; or a file that ``torch.export.save`` wrote, with both dimensions dynamic.
        bands: of the two spectra.

    Raises:
        LikewiseError: there is none of that name, or the file cannot be opened.
    """
    if name in TARGETS:
        return TARGETS[name]
    if name in BUILT_IN:
        return partial(_spectrum, LogMel(bands=bands, standardise=False), name == "mfcc")
    if not Path(name).is_file():
        raise LikewiseError(
            f"There is no acoustic target {name!r}. {did_you_mean(name, [*BUILT_IN, *TARGETS])} Or name a file that "
            f"torch.export.save wrote, or put a function into likewise.views.audio.acoustic_targets.TARGETS."
        )
    try:
        return torch.export.load(name).module()
    except Exception as error:  # whatever the file is, its reader may say anything
        raise LikewiseError(
            f"{name} cannot be opened as an acoustic target: {error}. It has to be written by torch.export.save."
        ) from error


def target_width(target: AcousticTarget) -> int:
    """Numbers of a step, found by giving it a second of silence.

    Raises:
        LikewiseError: what it gives is no [B, steps, F].
    """
    with torch.no_grad():
        found = target(torch.zeros(1, SOUND_RATE))
    if found.dim() != 3 or len(found) != 1:
        raise LikewiseError(
            f"The acoustic target made {tuple(found.shape)} of a sound [1, 16000]; it has to make [1, steps, F]."
        )
    return found.shape[2]


def _spectrum(log_mel: LogMel, is_mfcc: bool, sound: Tensor) -> Tensor:
    """Float [B, samples // hop, F]: without the last instant, which belongs to what comes after the sound."""
    bands = log_mel(sound)[..., :-1]
    return (cepstrum(bands, COEFFICIENTS) if is_mfcc else bands).mT
