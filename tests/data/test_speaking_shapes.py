from __future__ import annotations

import numpy as np
import torch

from likewise.data.synthetic.lip_videos import FRAMES, SIDE, SOUND_RATE, WORDS, lip_videos
from likewise.views.audio.log_mel import LogMel


def test_clips_have_the_shapes_that_are_promised_and_depend_on_the_seed_alone():
    first, again, other = lip_videos(20, 3), lip_videos(20, 3), lip_videos(20, 4)
    assert first.frames.shape == (20, FRAMES, 1, SIDE, SIDE) and first.frames.dtype == np.uint8
    assert first.sound.shape == (20, SOUND_RATE) and first.sound.dtype == np.int16
    assert np.bincount(first.words).tolist() == [2] * len(WORDS)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first.frames, other.frames)


def test_sound_tells_how_far_the_mouth_is_open():
    """Loudness follows the dark area between the lips, frame by frame, and does so with no other clip's sound."""
    clips = lip_videos(40, 0)
    pixels = clips.frames[:, :, 0].reshape(40, FRAMES, -1).astype(float)
    dark = (pixels < np.quantile(pixels, 0.25, axis=(1, 2), keepdims=True) * 0.7).sum(axis=2)
    loud = clips.sound.reshape(40, FRAMES, -1).astype(float).std(axis=2)

    def alike(a: np.ndarray, b: np.ndarray) -> float:
        return float(
            np.mean(
                [np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True) if x.std() and y.std()]
            )
        )

    assert alike(dark, loud) > 0.7
    assert alike(dark, np.roll(loud, 1, axis=0)) < alike(dark, loud) - 0.3


def test_a_word_is_heard_alike_from_all_speakers():
    """Nearest neighbours of spectra, summed over time so that speed and offset do not count, name the word."""
    clips = lip_videos(200, 1)
    heard = LogMel(bands=30)(torch.from_numpy(clips.sound).float() / 32767)
    bands = torch.cat(
        [heard.clamp(min=0).mean(dim=2), heard.diff(dim=2).clamp(min=0).mean(dim=2)], dim=1
    )
    distance = torch.cdist(bands, bands).fill_diagonal_(float("inf"))
    right = clips.words[distance.argmin(dim=1).numpy()] == clips.words
    assert right.mean() > 0.3  # chance is 0.1
