"""The sound of any file that has some: WAV, MP3, a video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from likewise.data.video.pyav import pyav
from likewise.data.video.video_decoding import SOUND_RATE
from likewise.errors import LikewiseError

LONGEST = 600.0
"""Seconds that are read at most."""


def read_sound(file: Path, rate: int = SOUND_RATE) -> Tensor:
    """The first sound track of a file in one channel, int16 [samples], ten minutes of it at most.

    Raises:
        LikewiseError: it is not there, has no sound, or cannot be decoded.
    """
    av = pyav()
    if not file.is_file():
        raise LikewiseError(f"There is no file {file}. Give one with sound, for instance a WAV file or a video.")
    try:
        with av.open(str(file)) as container:
            if not container.streams.audio:
                raise LikewiseError(f"{file} has no sound track. Give a file with sound: WAV, MP3, a video.")
            resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
            pieces, read = [], 0
            for frame in container.decode(container.streams.audio[0]):
                made = [each.to_ndarray()[0] for each in resampler.resample(frame)]
                pieces += made
                read += sum(piece.size for piece in made)
                if read >= LONGEST * rate:
                    break
            pieces += [each.to_ndarray()[0] for each in resampler.resample(None)]
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise LikewiseError(f"{file} cannot be decoded: {getattr(error, 'strerror', None) or error}.") from error
    if not sum(piece.size for piece in pieces):
        raise LikewiseError(f"{file} has a sound track, but there is nothing in it.")
    return torch.from_numpy(np.concatenate(pieces)[: round(LONGEST * rate)])
