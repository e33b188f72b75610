"""Bouncing garments: what is heard is what is seen, when and where it is."""

import numpy as np
import pytest

from likewise.data.sources.named_sets import fashion_mnist_mini
from likewise.data.synthetic.sound_videos import FRAME_RATE, LOWEST, RATIO, SIZES, sound_videos
from likewise.data.video.video_decoding import SOUND_RATE

SIDE, LENGTH, COUNT = 40, 32, 30


@pytest.fixture(scope="module")
def clips():
    part = fashion_mnist_mini().split("test")
    return sound_videos(
        part.pixels.array, part.labels.numpy(), COUNT, seed=3, side=SIDE, length=LENGTH
    )


def test_shapes_and_the_same_seed_gives_the_same_clips(clips):
    assert clips.frames.shape == (COUNT, LENGTH, 1, SIDE, SIDE)
    assert clips.sound.shape == (COUNT, LENGTH * SOUND_RATE // FRAME_RATE)
    assert np.bincount(clips.labels).tolist() == [3] * 10
    part = fashion_mnist_mini().split("test")
    again = sound_videos(
        part.pixels.array, part.labels.numpy(), COUNT, seed=3, side=SIDE, length=LENGTH
    )
    assert all(np.array_equal(a, b) for a, b in zip(clips, again, strict=True))


def test_the_note_tells_the_class_of_the_garment_that_sounds(clips):
    spectrum = np.abs(np.fft.rfft(clips.sound, axis=1))
    heard = spectrum.argmax(axis=1) * SOUND_RATE / clips.sound.shape[1]
    assert heard == pytest.approx(LOWEST * RATIO**clips.labels, rel=0.02)


def onsets(sound):
    """Frames at which a note begins: where a hundredth of a second is far louder than the one before."""
    loudness = np.square(sound.reshape(-1, SOUND_RATE // 100).astype(float)).mean(axis=1)
    begins = np.flatnonzero(loudness[1:] > 3 * loudness[:-1] + 1e5) + 1
    return begins / 100 * FRAME_RATE


def test_notes_begin_when_the_garment_in_the_box_is_lowest(clips):
    """The middle of what moves in the box comes down to a landing just when a note begins, and not in between."""
    checked = 0
    for frames, sound, box in zip(
        clips.frames[:, :, 0].astype(float), clips.sound, clips.boxes, strict=True
    ):
        left, right = np.rint(box[[0, 2]] * SIDE).astype(int)
        moving = np.abs(frames - np.median(frames, axis=0))[:, :, left:right]
        height = SIDE - (moving * np.arange(SIDE)[None, :, None]).sum(axis=(1, 2)) / moving.sum(
            axis=(1, 2)
        )
        for onset in onsets(sound):
            if 3 <= onset <= LENGTH - 4:
                near = round(onset)
                assert height[near] < min(height[near - 3], height[near + 3])
                checked += 1
    assert checked > 2 * COUNT / 2


def test_nothing_moves_outside_both_garments_and_the_box_holds_one(clips):
    width, height = (clips.boxes[:, 2:] - clips.boxes[:, :2]).T
    sizes = np.rint(SIDE * np.array(SIZES)) / SIDE
    assert {min(range(2), key=lambda kind: abs(each - sizes[kind])) for each in width} == {0, 1}
    assert np.abs(width[:, None] - sizes).min(axis=1).max() < 1e-6
    assert (height > width).all() and (height <= 1).all()


def test_large_garments_ring_longer(clips):
    width = clips.boxes[:, 2] - clips.boxes[:, 0]
    loud = np.square(clips.sound.reshape(COUNT, -1, SOUND_RATE // 100).astype(float)).mean(axis=2)
    rings = (loud > 1e5).mean(axis=1)
    assert rings[width > width.mean()].min() > rings[width < width.mean()].max()
    assert {bool(box[0] >= 0.5) for box in clips.boxes} == {True, False}  # on either side
