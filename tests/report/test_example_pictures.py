from __future__ import annotations

import numpy as np
import torch

from likewise.data.splits import open_splits
from likewise.data.video.clip_sampling import ClipSampling
from likewise.data.video.clips import clip_manifest
from likewise.report.pictures.example_pictures import BANDS, spectrograms, thumbnails

KEPT, SEEN, PER_FRAME, SIDE = 24, 12, 640, 16


def split_of(sound):
    frames = np.zeros((3, KEPT, 1, SIDE, SIDE), np.uint8)
    frames[:] = np.arange(KEPT, dtype=np.uint8)[:, None, None, None] * 10
    return open_splits(
        clip_manifest("made", frames, 25, sound=sound), SIDE, 1, ClipSampling(SEEN, 25.0)
    )["train"]


def tone(hertz, samples):
    return (20_000 * np.sin(2 * np.pi * hertz * np.arange(samples) / 16_000)).astype(np.int16)


def test_a_spectrogram_shows_what_is_heard_while_the_strip_is_seen():
    """Low before and after the window in the middle; in it first middling, then high; one clip is silent."""
    quarter = KEPT * PER_FRAME // 4
    parts = np.concatenate(
        [tone(150, quarter), tone(800, quarter), tone(5000, quarter), tone(150, quarter)]
    )
    drawn = spectrograms(split_of(np.stack([parts, 0 * parts, parts[::-1]])), torch.arange(3))
    assert drawn is not None and drawn.shape == (3, BANDS, 3 * SIDE)
    loudest = drawn.argmax(axis=1)  # row 0 is the highest band
    left, right = loudest[0, 4:20], loudest[0, 28:44]
    assert (left > right + 5).all() and left.max() < BANDS - 4, (
        "the middling tone is lower than the high one"
    )
    assert (loudest[2, 4:20] == right).all()
    assert not drawn[1].any()


def test_strips_show_the_first_the_middle_and_the_last_frame_of_the_window():
    split = split_of(None)
    made = thumbnails(split, torch.tensor([1]))
    strip = made["strips"][0, 0, :, 0]
    assert strip[[0, SIDE, 2 * SIDE]].tolist() == [
        60,
        60 + 10 * round((SEEN - 1) / 2),
        60 + 10 * (SEEN - 1),
    ]
    assert made["thumbnails"][0, 0, 0, 0] == strip[SIDE]
    assert spectrograms(split, torch.tensor([1])) is None
