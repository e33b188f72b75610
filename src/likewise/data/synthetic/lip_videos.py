"""Drawn mouths that say one of ten made-up words, with the sound that such a mouth would make: lips without people.

A word is a fixed way for three things to move: how far the mouth is open, how wide it is, and how round its lips are.
The same movement, made faster or slower, sooner or later, is drawn as a picture and played as two tones, so that sound
tells how the mouth moves; who speaks, the light and the position change the picture and are silent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from likewise.data.video.sound_windows import to_int16
from likewise.data.video.video_decoding import SOUND_RATE

WORDS = tuple("bamo dilu fena gosi havu kime lopa nuri teso zaku".split())
"""what the words are called"""
SIDE = 32
"""pixels along a side of a clip"""
FRAMES = 25
"""frames of a clip"""
FRAME_RATE = 25.0
"""frames a second"""
BEATS = 5
"""positions of the mouth that a word goes through"""
OPEN, WIDE, ROUND = range(3)
"""the columns of a movement, each from 0 to 1"""


class LipVideos(NamedTuple):
    """Clips and their words."""

    frames: np.ndarray
    """uint8 [N, FRAMES, 1, SIDE, SIDE]"""
    sound: np.ndarray
    """int16 [N, samples], one second"""
    words: np.ndarray
    """int64 [N], indices into `WORDS`"""


def lip_videos(count: int, seed: int) -> LipVideos:
    """So many clips of one second, each word equally often.

    Args:
        count: how many; a multiple of ten gives all words equally often.
        seed: of speakers, speeds, positions, and the order of words; the words themselves are always the same.
    """
    random = np.random.default_rng(seed)
    words = random.permutation(np.arange(count) % len(WORDS))
    patterns = _patterns()
    frames = np.empty((count, FRAMES, 1, SIDE, SIDE), np.uint8)
    sound = np.empty((count, SOUND_RATE), np.int16)
    for row, word in enumerate(words):
        movement = _Movement(patterns[word], random)
        frames[row, :, 0] = _drawn(movement(_instants(FRAMES)), random)
        sound[row] = _sound(movement(_instants(1000)), random)
    return LipVideos(frames, sound, words)


def _patterns() -> np.ndarray:
    """Float [10, BEATS, 3]: the words, the same at every call; all begin and end nearly closed."""
    random = np.random.default_rng(20)
    patterns = random.uniform(0, 1, (len(WORDS), BEATS, 3))
    patterns[:, [0, -1], OPEN] *= 0.3
    return patterns


class _Movement:
    """A word at its own speed, offset and strength, amid a mouth that is never quite at rest."""

    def __init__(self, pattern: np.ndarray, random: Generator) -> None:
        self.pattern = np.clip(pattern + random.normal(0, 0.06, pattern.shape), 0, 1)
        self.lasts = random.uniform(0.45, 0.8)
        self.begins = random.uniform(0.03, 0.97 - self.lasts)
        width = random.uniform(0.3, 0.7)
        roundness = random.uniform(0.2, 0.6)
        self.rest = np.array([0.0, width, roundness])

    def __call__(self, instants: np.ndarray) -> np.ndarray:
        """Float [T, 3] at so many seconds [T]."""
        time = (instants - self.begins) / self.lasts  # 0 where the word begins, 1 where it ends
        beats = np.linspace(0, 1, BEATS)
        columns = [_smooth(time, beats, self.pattern[:, column]) for column in range(3)]
        word = np.stack(columns, axis=1)  # [T, 3]
        from_either_end = np.minimum(time, 1 - time)
        talking = np.clip(from_either_end / 0.08, 0, 1)[:, None]
        return self.rest + talking * (word - self.rest)


def _drawn(movement: np.ndarray, random: Generator) -> np.ndarray:
    """Uint8 [T, SIDE, SIDE]: lips and what is between them, on skin, under a light, moving a little."""
    from_middle = np.mgrid[0:SIDE, 0:SIDE] + 0.5 - SIDE / 2
    down, across = from_middle[:, None]  # [1, SIDE, SIDE] each
    size = random.uniform(0.85, 1.15)
    y, x = _from_the_mouth(down, across, len(movement), random)
    inside, lips = _mouth(movement, y, x, size, random.uniform(0.75, 1.25))
    skin = random.uniform(90, 190) + _texture(random)
    lip_tone = random.uniform(-60, -15)
    hollow = random.uniform(10, 50)
    picture = skin + lips * (lip_tone + _texture(random) / 2)
    picture = picture + inside * (hollow - picture)
    light = 1 + random.uniform(-0.012, 0.012) * across + random.uniform(-0.012, 0.012) * down
    flicker = 1 + _drift(len(movement), 0.05, random)[:, :1, None]
    noise = random.normal(0, 6, picture.shape)
    noisy = picture * light * flicker + noise
    return noisy.clip(0, 255).astype(np.uint8)


def _from_the_mouth(
    down: np.ndarray, across: np.ndarray, count: int, random: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Down and to the right of a mouth that is turned and drifts, [T, SIDE, SIDE] each, in pixels."""
    drift = _drift(count, 1.2, random)
    top = random.uniform(-2.5, 2.5) + drift[:, 0]
    left = random.uniform(-2.5, 2.5) + drift[:, 1]
    turn = np.deg2rad(random.uniform(-15, 15))
    y = down - top[:, None, None]
    x = across - left[:, None, None]
    turned_y = y * np.cos(turn) - x * np.sin(turn)
    turned_x = y * np.sin(turn) + x * np.cos(turn)
    return turned_y, turned_x


def _mouth(
    movement: np.ndarray, y: np.ndarray, x: np.ndarray, size: float, gain: float
) -> tuple[np.ndarray, np.ndarray]:
    """How much of each pixel the hollow and the lips cover, two ellipses: [T, SIDE, SIDE] each."""
    opened, widened, rounded = movement.T[:, :, None, None]  # [T, 1, 1] each
    high = (0.4 + 5.5 * gain * opened) * size
    wide = (5.0 + 5.0 * widened) * size
    thick = (1.2 + 2.0 * rounded) * size
    smaller = np.minimum(wide, high)
    inside = _edge(1 - np.hypot(x / wide, y / high), smaller)
    outer = np.hypot(x / (wide + thick), y / (high + thick))
    lips = _edge(1 - outer, smaller + thick)
    return inside, lips


def _sound(movement: np.ndarray, random: Generator) -> np.ndarray:
    """Int16 [SOUND_RATE]: two tones, the first higher the wider the mouth is open, the second the less round it is."""
    voice = random.uniform(0.9, 1.1)
    opened, widened, rounded = movement.T  # [T] each
    first = voice * (250 + 600 * opened)
    second = voice * (900 + 900 * widened + 900 * (1 - rounded))
    loud = opened**0.7
    tones = np.zeros(SOUND_RATE)
    at = _instants(len(movement))
    samples = _instants(SOUND_RATE)
    for pitch, share in ((first, 0.6), (second, 0.4)):
        frequency = np.interp(samples, at, pitch)  # Hz, [SOUND_RATE]
        phase = 2 * np.pi * np.cumsum(frequency) / SOUND_RATE
        tones += share * np.sin(phase + random.uniform(0, 2 * np.pi))
    volume = random.uniform(0.3, 0.8)
    envelope = np.interp(samples, at, loud)
    noise = random.normal(0, 0.003, SOUND_RATE)
    sound = volume * tones * envelope + noise
    return to_int16(sound.clip(-1, 1))


def _instants(count: int) -> np.ndarray:
    """The middles of so many equal parts of the second."""
    return (np.arange(count) + 0.5) / count


def _smooth(time: np.ndarray, beats: np.ndarray, values: np.ndarray) -> np.ndarray:
    """From value to value along half a cosine each."""
    before = np.searchsorted(beats, time, side="right") - 1
    before = np.clip(before, 0, len(beats) - 2)
    gap = beats[before + 1] - beats[before]
    share = np.clip((time - beats[before]) / gap, 0, 1)
    step = values[before + 1] - values[before]
    return values[before] + step * (1 - np.cos(np.pi * share)) / 2


def _drift(count: int, greatest: float, random: Generator) -> np.ndarray:
    """Float [count, 2]: slow waves of random phase and up to that size."""
    phase = random.uniform(0, 2 * np.pi, 2)
    speed = random.uniform(0.5, 2, 2)
    size = random.uniform(0, greatest, 2)
    angle = 2 * np.pi * speed * _instants(count)[:, None] + phase
    return size * np.sin(angle)


def _edge(depth: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The share of each pixel inside an ellipse, nearly, from the depth relative to its smaller radius."""
    return np.clip(depth * radius + 0.5, 0, 1)


def _texture(random: Generator) -> np.ndarray:
    """Float [SIDE, SIDE]: waves of a random direction and length."""
    down, across = np.mgrid[0:SIDE, 0:SIDE]
    angle = random.uniform(0, np.pi)
    phase = random.uniform(0, 2 * np.pi)
    period = random.uniform(3, 12)
    along = across * np.cos(angle) + down * np.sin(angle)  # pixels in the waves' direction
    waves = np.sin(along * 2 * np.pi / period + phase)
    return random.uniform(5, 25) * waves
