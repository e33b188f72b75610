"""Descriptors by which copies of a picture find each other: low frequencies, in every turn and in a few windows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

SIDE = 32
"""side of the grey thumbnails that are compared"""
FREQUENCIES = 6
"""along each axis, of those in a descriptor: coarse enough for a crop to shift them little"""
CUT = 0.08
"""share of a side that is left out at one end by the windows in a corner; together with the whole and the middle they
come close enough to every crop by a tenth"""
TOLERANCE = 0.04
"""part of a descriptor's length by which it may miss the reference orientation and is still looked up in it"""
RESOLUTION = 2.0**-11
"""step of a descriptor's numbers: float32 holds sums of their products exactly, whatever their order, so the number of
threads changes no similarity"""

Window = tuple[float, float, float, float]
"""top, bottom, left and right of a part of an image, as shares of its height and width"""
WHOLE: Window = (0.0, 1.0, 0.0, 1.0)
MIDDLE: Window = (0.05, 0.95, 0.05, 0.95)
CORNERS: tuple[Window, ...] = (
    (0.0, 1 - CUT, 0.0, 1 - CUT),
    (0.0, 1 - CUT, CUT, 1.0),
    (CUT, 1.0, 0.0, 1 - CUT),
    (CUT, 1.0, CUT, 1.0),
)
WINDOWS = (WHOLE, MIDDLE, *CORNERS)

ORIENTATIONS = tuple(itertools.product((False, True), repeat=3))
"""the eight ways to turn and mirror a square: whether it is transposed, then flipped up-down, then left-right"""


@dataclass(frozen=True)
class Descriptors:
    """Unit vectors, each of one window of one thumbnail in one orientation."""

    vectors: np.ndarray
    """float32 [M, FREQUENCIES²], multiples of RESOLUTION"""
    rows: np.ndarray
    """int64 [M]: which thumbnail"""
    windows: np.ndarray
    """int64 [M]: position in WINDOWS"""
    orientations: np.ndarray
    """int64 [M]: position in ORIENTATIONS"""


def oriented(images: np.ndarray, orientation: int) -> np.ndarray:
    """Square images [..., S, S] turned or mirrored."""
    transposed, flipped, mirrored = ORIENTATIONS[orientation]
    if transposed:
        images = images.swapaxes(-1, -2)
    if flipped:
        images = images[..., ::-1, :]
    return images[..., ::-1] if mirrored else images


def reference_descriptors(thumbnails: np.ndarray) -> Descriptors:
    """One descriptor a thumbnail: of the whole, in the orientation that its own gradients choose.

    Args:
        thumbnails: uint8 [N, SIDE, SIDE].
    """
    spectra = _spectra(thumbnails, WHOLE)
    fits = []
    for turn in range(len(ORIENTATIONS)):
        fits.append(_is_reference(_turned(spectra, turn), tolerance=0.0))
    first = np.stack(fits).argmax(axis=0)  # [N], of 8 orientations
    vectors = np.empty((len(spectra), FREQUENCIES**2), np.float32)
    for turn in range(len(ORIENTATIONS)):
        chosen = first == turn
        vectors[chosen] = _units(_turned(spectra[chosen], turn))
    rows = np.arange(len(spectra))
    return Descriptors(vectors, rows, np.zeros_like(rows), first)


def window_descriptors(thumbnails: np.ndarray) -> Descriptors:
    """About twelve descriptors a thumbnail: of each window, in each orientation that might be its reference.

    Args:
        thumbnails: uint8 [N, SIDE, SIDE].
    """
    vectors, rows, windows, turns = [], [], [], []
    for number, window in enumerate(WINDOWS):
        spectra = _spectra(thumbnails, window)
        for turn in range(len(ORIENTATIONS)):
            turned = _turned(spectra, turn)
            chosen = np.flatnonzero(_is_reference(turned, TOLERANCE))
            vectors.append(_units(turned[chosen]))
            rows.append(chosen)
            windows.append(np.full(len(chosen), number))
            turns.append(np.full(len(chosen), turn))
    return Descriptors(*map(np.concatenate, (vectors, rows, windows, turns)))


def cosines(count: int) -> np.ndarray:
    """float32 [count, SIDE]: the lowest frequencies of the orthonormal discrete cosine transform (type II)."""
    frequency = np.arange(count)[:, None]
    position = np.arange(SIDE)[None] + 0.5
    length = np.where(frequency == 0, np.sqrt(1 / SIDE), np.sqrt(2 / SIDE))
    waves = np.cos(np.pi * frequency * position / SIDE)  # [count, SIDE]
    return (length * waves).astype(np.float32)


def whitening(count: int) -> np.ndarray:
    """float32 [count, count]: weights that undo the 1/f spectrum of photographs, and leave out the mean brightness.

    Field 1987, "Relations between the statistics of natural images", section 4, https://doi.org/10.1364/JOSAA.4.002379
    """
    frequency = np.arange(count, dtype=np.float32)
    return np.hypot(frequency[:, None], frequency[None])


def resampling(low: float, high: float) -> np.ndarray:
    """float32 [SIDE, SIDE]: rows interpolate linearly between positions of one axis, from ``low`` to ``high``."""
    centres = (np.arange(SIDE) + 0.5) / SIDE
    positions = (low + centres * (high - low)) * SIDE - 0.5
    distance = np.abs(positions[:, None] - np.arange(SIDE)[None])
    weights = np.maximum(0, 1 - distance)
    weights = weights / weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)


def _spectra(thumbnails: np.ndarray, window: Window) -> np.ndarray:
    """float32 [N, FREQUENCIES, FREQUENCIES]: whitened low frequencies of a window of each thumbnail."""
    top, bottom, left, right = window
    vertical = cosines(FREQUENCIES) @ resampling(top, bottom)
    horizontal = cosines(FREQUENCIES) @ resampling(left, right)
    spectra = np.empty((len(thumbnails), FREQUENCIES, FREQUENCIES), np.float32)
    # As floats all thumbnails would take four times their memory.
    for start in range(0, len(thumbnails), 8192):
        part = thumbnails[start : start + 8192].astype(np.float32)
        spectra[start : start + 8192] = vertical @ part @ horizontal.T
    return spectra * whitening(FREQUENCIES)


def _turned(spectra: np.ndarray, turn: int) -> np.ndarray:
    """Spectra of the images turned or mirrored: a flip changes the sign of every second frequency of its axis."""
    transposed, flipped, mirrored = ORIENTATIONS[turn]
    signs = np.where(np.arange(FREQUENCIES) % 2, -1, 1).astype(np.float32)
    if transposed:
        spectra = spectra.swapaxes(-1, -2)
    if flipped:
        spectra = spectra * signs[:, None]
    return spectra * signs if mirrored else spectra


def _is_reference(spectra: np.ndarray, tolerance: float) -> np.ndarray:
    """Bool [N]: whether brightness falls to the right and down, and more so to the right."""
    length = np.sqrt(np.square(spectra).sum(axis=(1, 2)))
    slack = -tolerance * length
    right = spectra[:, 0, 1]
    down = spectra[:, 1, 0]
    return (right >= slack) & (down >= slack) & (right - down >= slack)


def _units(spectra: np.ndarray) -> np.ndarray:
    vectors = spectra.reshape(len(spectra), FREQUENCIES**2)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    steps = np.round(vectors / np.maximum(RESOLUTION * length, 1e-6))
    return (RESOLUTION * steps).astype(np.float32)
