"""Drawn mouths that say one of ten made-up words, with the sound that such a mouth would make: lips without people.

A word is a fixed way for three things to move: how far the mouth is open, how wide it is, and how round its lips are.
The same movement, said faster or slower, sooner or later, is drawn as a picture and heard as two tones, so that sound
tells how the mouth moves; who speaks, the light and the place change the picture and are silent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from likewise.data.video.video_decoding import SOUND_RATE

WORDS = tuple("bamo dilu fena gosi havu kime lopa nuri teso zaku".split())
"""what the words are called"""
SIDE, FRAMES, FRAME_RATE = 32, 25, 25.0
"""of a clip: pixels along a side, frames, frames a second"""
BEATS = 5
"""positions of the mouth that a word goes through"""
OPEN, WIDE, ROUND = range(3)
"""the columns of a movement, each from 0 to 1"""


class LipVideos(NamedTuple):
    """Clips and what is said in them."""

    frames: np.ndarray
    """uint8 [N, FRAMES, 1, SIDE, SIDE]"""
    sound: np.ndarray
    """int16 [N, samples], one second"""
    words: np.ndarray
    """int64 [N], places in `WORDS`"""


def lip_videos(count: int, seed: int) -> LipVideos:
    """So many clips of one second, each word equally often.

    Args:
        count: how many; a multiple of ten gives all words equally often.
        seed: of speakers, speeds, places, and the order of words; the words themselves are always the same.
    """
    random = np.random.default_rng(seed)
    words = random.permutation(np.arange(count) % len(WORDS))
    patterns = _patterns()
    frames = np.empty((count, FRAMES, 1, SIDE, SIDE), np.uint8)
    sound = np.empty((count, SOUND_RATE), np.int16)
    for row, word in enumerate(words):
        movement = _movement(patterns[word], random)
        frames[row, :, 0] = _drawn(movement(_instants(FRAMES)), random)
        sound[row] = _heard(movement(_instants(1000)), random)
    return LipVideos(frames, sound, words)


def _patterns() -> np.ndarray:
    """Float [10, BEATS, 3]: the words, the same at every call; all begin and end nearly closed."""
    patterns = np.random.default_rng(20).uniform(0, 1, (len(WORDS), BEATS, 3))
    patterns[:, [0, -1], OPEN] *= 0.3
    return patterns


class _movement:
    """A word at its own speed, offset and strength, amid a mouth that is never quite at rest."""

    def __init__(self, pattern: np.ndarray, random: Generator) -> None:
        self.pattern = np.clip(pattern + random.normal(0, 0.06, pattern.shape), 0, 1)
        self.lasts = random.uniform(0.45, 0.8)
        self.begins = random.uniform(0.03, 0.97 - self.lasts)
        self.rest = np.array([0.0, random.uniform(0.3, 0.7), random.uniform(0.2, 0.6)])

    def __call__(self, instants: np.ndarray) -> np.ndarray:
        """Float [T, 3] at so many seconds [T]."""
        place = (instants - self.begins) / self.lasts
        beats = np.linspace(0, 1, BEATS)
        said = np.stack([_smooth(place, beats, self.pattern[:, column]) for column in range(3)], axis=1)
        talking = np.clip(np.minimum(place, 1 - place) / 0.08, 0, 1)[:, None]
        return self.rest + talking * (said - self.rest)


def _drawn(movement: np.ndarray, random: Generator) -> np.ndarray:
    """Uint8 [T, SIDE, SIDE]: lips and what is between them, on skin, under a light, moving a little."""
    down, across = (np.mgrid[0:SIDE, 0:SIDE] + 0.5 - SIDE / 2)[:, None]
    size, drift = random.uniform(0.85, 1.15), _drift(len(movement), 1.2, random)
    top, left = (random.uniform(-2.5, 2.5) + drift[:, axis] for axis in (0, 1))
    turn = np.deg2rad(random.uniform(-15, 15))
    y, x = down - top[:, None, None], across - left[:, None, None]
    y, x = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
    gain = random.uniform(0.75, 1.25)
    high = (0.4 + 5.5 * gain * movement[:, OPEN])[:, None, None] * size
    wide = (5.0 + 5.0 * movement[:, WIDE])[:, None, None] * size
    thick = (1.2 + 2.0 * movement[:, ROUND])[:, None, None] * size
    inside = _edge(1 - np.hypot(x / wide, y / high), np.minimum(wide, high))
    lips = _edge(1 - np.hypot(x / (wide + thick), y / (high + thick)), np.minimum(wide, high) + thick)
    skin = random.uniform(90, 190) + _texture(random)
    lip_tone, hollow = random.uniform(-60, -15), random.uniform(10, 50)
    picture = skin + lips * (lip_tone + _texture(random) / 2)
    picture = picture + inside * (hollow - picture)
    light = 1 + random.uniform(-0.012, 0.012) * across + random.uniform(-0.012, 0.012) * down
    flicker = 1 + _drift(len(movement), 0.05, random)[:, :1, None]
    noisy = picture * light * flicker + random.normal(0, 6, picture.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def _heard(movement: np.ndarray, random: Generator) -> np.ndarray:
    """Int16 [SOUND_RATE]: two tones, the first higher the wider the mouth is open, the second the less round it is."""
    voice = random.uniform(0.9, 1.1)
    first = voice * (250 + 600 * movement[:, OPEN])
    second = voice * (900 + 900 * movement[:, WIDE] + 900 * (1 - movement[:, ROUND]))
    loud = movement[:, OPEN] ** 0.7
    tones = np.zeros(SOUND_RATE)
    at, samples = _instants(len(movement)), _instants(SOUND_RATE)
    for pitch, share in ((first, 0.6), (second, 0.4)):
        phase = 2 * np.pi * np.cumsum(np.interp(samples, at, pitch)) / SOUND_RATE
        tones += share * np.sin(phase + random.uniform(0, 2 * np.pi))
    volume = random.uniform(0.3, 0.8)
    sound = volume * tones * np.interp(samples, at, loud) + random.normal(0, 0.003, SOUND_RATE)
    return np.rint(sound.clip(-1, 1) * 32767).astype(np.int16)


def _instants(count: int) -> np.ndarray:
    """The middles of so many equal parts of the second."""
    return (np.arange(count) + 0.5) / count


def _smooth(place: np.ndarray, beats: np.ndarray, values: np.ndarray) -> np.ndarray:
    """From value to value along half a cosine each."""
    number = np.clip(np.searchsorted(beats, place, side="right") - 1, 0, len(beats) - 2)
    share = np.clip((place - beats[number]) / (beats[number + 1] - beats[number]), 0, 1)
    return values[number] + (values[number + 1] - values[number]) * (1 - np.cos(np.pi * share)) / 2


def _drift(count: int, greatest: float, random: Generator) -> np.ndarray:
    """Float [count, 2]: slow waves of random phase and up to that size."""
    phase, speed, size = random.uniform(0, 2 * np.pi, 2), random.uniform(0.5, 2, 2), random.uniform(0, greatest, 2)
    return size * np.sin(2 * np.pi * speed * _instants(count)[:, None] + phase)


def _edge(depth: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """How much of each pixel lies inside an ellipse, nearly, from the depth relative to its smaller radius."""
    return np.clip(depth * radius + 0.5, 0, 1)


def _texture(random: Generator) -> np.ndarray:
    """Float [SIDE, SIDE]: waves of a random direction and length."""
    down, across = np.mgrid[0:SIDE, 0:SIDE]
    angle, phase, period = random.uniform(0, np.pi), random.uniform(0, 2 * np.pi), random.uniform(3, 12)
    waves = np.sin((across * np.cos(angle) + down * np.sin(angle)) * 2 * np.pi / period + phase)
    return random.uniform(5, 25) * waves
