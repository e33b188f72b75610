"""Clips of two bouncing garments of which one sounds: a test bed for learning from sight and sound together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from likewise.data.synthetic.flow_videos import pieces_of
from likewise.data.synthetic.scenes import texture
from likewise.data.video.sound_windows import to_int16
from likewise.data.video.video_decoding import SOUND_RATE

FRAME_RATE = 25
"""frames a second"""
SIZES = (0.28, 0.44)
"""side of a small and of a large garment over the frame's"""
DECAYS = (0.025, 0.09)
"""seconds in which the note of a small and of a large garment falls to 37%"""
BOUNCE = (6.0, 12.0)
"""frames from one landing to the next, drawn anew each time, so that no two moments of a clip need be equal"""
LOWEST = 300.0
"""Hz of the first class's note"""
RATIO = 1.33
"""how much higher each next class sounds; ten classes end at 3.9 kHz"""
LOUDNESS = 0.3
"""of a note when it begins, where 1 is the loudest that can be stored"""
NOISE = 0.003
"""loudness of the noise below the notes"""
NOTE_SECONDS = 0.4
"""seconds after which a note is cut off, a thousandth of it being left"""


class SoundVideos(NamedTuple):
    """Clips, their sound, and where it comes from."""

    frames: np.ndarray
    """uint8 [N, T, 1, S, S]"""
    sound: np.ndarray
    """int16 [N, samples]: a note at each landing of the garment that sounds"""
    labels: np.ndarray
    """int64 [N]: the class of the garment that sounds, which its note tells"""
    boxes: np.ndarray
    """float32 [N, 4]: left, top, right and bottom around all positions of that garment, as shares of the frame"""


def sound_videos(
    items: np.ndarray,
    labels: np.ndarray,
    count: int,
    seed: int,
    side: int = 32,
    length: int = 32,
) -> SoundVideos:
    """Two garments of different classes bounce side by side, each in a rhythm of its own; one of them sounds.

    Which of the two it is, and on which side, is drawn. The pitch of its note tells its class, and how long it rings
    whether it is small or large: these distinguish a clip as a whole from others. When notes begin tells which of
    the two garments it is, and which instant it is.

    Args:
        items: uint8 [M, H, H], dark around the garment.
        labels: int [M], the class of each.
        count: how many clips.
        seed: of everything that is drawn.
        side: pixels along a side of a frame.
        length: frames of a clip.
    """
    random = np.random.default_rng(seed)
    which = _of_two_classes(random, labels, count)
    large = random.integers(2, size=(count, 2))
    landings = [(_landings(random, length), _landings(random, length)) for _ in range(count)]
    sizes = np.rint(side * np.array(SIZES)).astype(np.int64)
    most = sizes.max()
    half = random.integers(2, size=count)
    halves = np.stack([half, 1 - half], axis=1) * (side // 2)
    left = random.integers(0, side // 2 - most + 1, size=(count, 2)) + halves
    heights = [(_height(first, length), _height(second, length)) for first, second in landings]
    top = (1 - np.array(heights)) * (side - most)  # [N, 2, T]
    pieces = _pieces(items[which], large, sizes)
    frames = _drawn(random, pieces, left, top, side)
    # The first of the two sounds.
    sounding = labels[which[:, 0]].astype(np.int64)
    is_large = large[:, 0]
    notes = []
    for row, (first, _) in enumerate(landings):
        notes.append(_notes(random, first, sounding[row], DECAYS[is_large[row]], length))
    boxes = _boxes(left[:, 0], top[:, 0], sizes[is_large], most, side)
    return SoundVideos(frames, np.stack(notes), sounding, boxes)


def _pieces(items: np.ndarray, large: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Brightness and cover of garments [N, 2, H, H] at their sizes, [N, 2, 2, S, S]; small ones stand in the middle."""
    most = sizes.max()
    made = np.zeros((*large.shape, 2, most, most), np.float32)
    for kind, size in enumerate(sizes):
        chosen = large == kind
        margin = (most - size) // 2
        room = made[chosen]
        pieces = pieces_of(items[chosen], int(size)).numpy()
        room[..., most - size :, margin : margin + size] = pieces
        made[chosen] = room
    return made


def _of_two_classes(random: np.random.Generator, labels: np.ndarray, count: int) -> np.ndarray:
    """int64 [count, 2]: two garments of different classes each; first ones of all classes equally often."""
    classes = np.unique(labels)
    first = random.permutation(np.arange(count) % len(classes))
    second = (first + random.integers(1, len(classes), size=count)) % len(classes)
    members = [np.flatnonzero(labels == kind) for kind in classes]
    pairs = []
    for one, other in zip(first, second, strict=True):
        pairs.append((random.choice(members[one]), random.choice(members[other])))
    return np.array(pairs)


def _landings(random: np.random.Generator, length: int) -> np.ndarray:
    """When a garment lands, in frames, from before the clip until after it."""
    gaps = random.uniform(*BOUNCE, size=int(length / BOUNCE[0]) + 3)
    landings = np.concatenate([[0.0], np.cumsum(gaps)])
    return landings - random.uniform(0, gaps[0])


def _height(landings: np.ndarray, length: int) -> np.ndarray:
    """How high a garment is at each frame, float [length]: parabolas of one gravity, the longest as high as 1."""
    time = np.arange(length)
    after = np.searchsorted(landings, time, side="right").clip(1, len(landings) - 1)
    before = landings[after - 1]
    until = landings[after]
    longest = BOUNCE[1]
    return 4 * (time - before) * (until - time) / longest**2


def _notes(
    random: np.random.Generator,
    landings: np.ndarray,
    kind: int,
    decay: float,
    length: int,
) -> np.ndarray:
    """int16 [samples]: a note of the class's pitch at each landing, over a little noise."""
    count = length * SOUND_RATE // FRAME_RATE
    last = round(NOTE_SECONDS * SOUND_RATE)
    frequency = 2 * np.pi * LOWEST * RATIO**kind  # radians a second
    sound = NOISE * random.standard_normal(count + 2 * last)
    # What began before the clip still sounds in it.
    for landing in landings / FRAME_RATE * SOUND_RATE + last:
        first = int(np.ceil(landing))
        if 0 <= first < count + last:
            since = (np.arange(first, first + last) - landing) / SOUND_RATE
            note = np.exp(-since / decay) * np.sin(frequency * since)
            sound[first : first + last] += LOUDNESS * note
    clip = sound[last : last + count]
    return to_int16(clip.clip(-1, 1))


def _drawn(
    random: np.random.Generator,
    pieces: np.ndarray,
    left: np.ndarray,
    top: np.ndarray,
    side: int,
) -> np.ndarray:
    """uint8 [N, T, 1, S, S]: garments over a texture that does not move; up and down they move by parts of a pixel.

    Args:
        random: draws the textures.
        pieces: [N, 2, 2, H, H], brightness and cover of both garments.
        left: int [N, 2], pixels to the left of each.
        top: float [N, 2, T], pixels above each.
        side: of a frame.
    """
    count, _, length = top.shape
    size = pieces.shape[-1]
    grounds = np.stack([texture(random, side) for _ in range(count)])
    canvas = np.zeros((2, count, length, side + 1, side), np.float32)
    row = np.arange(count)[:, None, None, None]
    time = np.arange(length)[:, None, None]
    for number in range(2):
        whole = np.floor(top[:, number]).astype(np.int64)  # [N, T]
        part = (top[:, number] - whole)[..., None, None].astype(np.float32)
        down = whole[..., None, None] + np.arange(size + 1)[:, None]
        across = left[:, number, None, None, None] + np.arange(size)
        for layer in range(2):
            above_and_below = ((0, 0), (1, 1), (0, 0))
            piece = np.pad(pieces[:, number, layer], above_and_below)[:, None]  # [N, 1, H + 2, H]
            upper = piece[:, :, 1:]
            lower = piece[:, :, :-1]
            canvas[layer, row, time, down, across] = (1 - part) * upper + part * lower
    light, cover = canvas[:, :, :, :side]
    frames = light + (1 - cover) * grounds[:, None]
    frames = np.rint(frames.clip(0, 255)).astype(np.uint8)
    return frames[:, :, None]


def _boxes(
    left: np.ndarray,
    top: np.ndarray,
    size: np.ndarray,
    most: int,
    side: int,
) -> np.ndarray:
    """float32 [N, 4] of what garments of sizes [N] cover while the upper ends of their squares [N, T] move."""
    left = left + (most - size) // 2
    right = left + size
    highest = top.min(axis=1) + most - size
    lowest = top.max(axis=1) + most
    pixels = np.stack([left, highest, right, lowest], axis=1)
    return (pixels / side).clip(0, 1).astype(np.float32)
