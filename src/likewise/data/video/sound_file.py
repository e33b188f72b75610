"""The sound of any file that has some: WAV, MP3, a video."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likewise.data.video.pyav import pyav
from likewise.data.video.video_decoding import SOUND_RATE
from likewise.errors import LikewiseError

LONGEST = 600.0
"""Seconds that are read at most."""


def read_sound(file: Path) -> Tensor:
    """The first sound track of a file in one channel, int16 [samples], ten minutes of it at most.

    Raises:
        LikewiseError: it is not there, has no sound, or cannot be decoded.
    """
    av = pyav()
    if not file.is_file():
        raise LikewiseError(
            f"There is no file {file}. Give one with sound, for instance a WAV file or a video."
        )
    try:
        with av.open(str(file)) as container:
            if not container.streams.audio:
                raise LikewiseError(
                    f"{file} has no sound track. Give a file with sound: WAV, MP3, a video."
                )
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SOUND_RATE)
            frames = container.decode(container.streams.audio[0])
            sound = _resampled(frames, resampler, most=round(LONGEST * SOUND_RATE))
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise LikewiseError(
            f"{file} cannot be decoded: {getattr(error, 'strerror', None) or error}."
        ) from error
    if not sound.size:
        raise LikewiseError(f"{file} has a sound track, but there is nothing in it.")
    return torch.from_numpy(sound)


def _resampled(frames: Iterable[Any], resampler: Any, most: int) -> np.ndarray:
    """int16 [samples] of the decoder's frames, at most so many."""
    pieces = [np.zeros(0, np.int16)]
    read = 0
    for frame in itertools.chain(frames, [None]):  # None: what the resampler still holds
        for resampled in resampler.resample(frame):
            piece = resampled.to_ndarray()[0]
            pieces.append(piece)
            read += piece.size
        if read >= most:
            break
    return np.concatenate(pieces)[:most]
