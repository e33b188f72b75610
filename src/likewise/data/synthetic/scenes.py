"""Scenes pasted together from photographs of clothes, the class of every pixel known: a test bed for dense learning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIDE = 64
"""Pixels along a side of a scene."""
BACKGROUND = "background"
OBJECT = 48
"""Least brightness, of 255, of a garment's pixels; Fashion-MNIST's own background is 0."""


class SyntheticScenes(NamedTuple):
    """Images and what they show."""

    images: np.ndarray
    """uint8 [N, SIDE, SIDE]"""
    masks: np.ndarray
    """uint8 [N, SIDE, SIDE]: 0 is background, 1 + c a garment of class c"""
    objects: np.ndarray
    """uint8 [N, SIDE, SIDE]: 0 is background, 1, 2, 3 the garments in the order in which they were pasted"""


def paste_scenes(items: np.ndarray, labels: np.ndarray, count: int, seed: int) -> SyntheticScenes:
    """Two or three garments on a textured canvas, at random positions, mirrored at random; later ones cover earlier.

    Args:
        items: uint8 [M, 28, 28], dark around the garment.
        labels: int [M], the class of each.
        count: how many scenes.
        seed: of everything that is drawn.
    """
    random = np.random.default_rng(seed)
    images = np.stack([texture(random, SIDE) for _ in range(count)])
    masks = np.zeros_like(images)
    objects = np.zeros_like(images)
    height, width = items.shape[1:]
    for scene in range(count):
        for number in range(1, int(random.integers(2, 4)) + 1):
            which = int(random.integers(len(items)))
            item = items[which]
            if random.random() < 0.5:
                item = item[:, ::-1]
            top = int(random.integers(SIDE - height + 1))
            left = int(random.integers(SIDE - width + 1))
            where = np.s_[scene, top : top + height, left : left + width]
            solid = item >= OBJECT
            images[where][solid] = item[solid]
            masks[where][solid] = labels[which] + 1
            objects[where][solid] = number
    return SyntheticScenes(images, masks, objects)


def texture(random: np.random.Generator, side: int) -> np.ndarray:
    """Waves of a random direction, length and phase under a grain, uint8 [side, side]."""
    down, across = np.mgrid[0:side, 0:side]
    angle = random.uniform(0, np.pi)
    phase = random.uniform(0, 2 * np.pi)
    period = random.uniform(4, 16)
    along = across * np.cos(angle) + down * np.sin(angle)  # pixels in the waves' direction
    waves = np.sin(along * 2 * np.pi / period + phase)
    brightness = random.uniform(40, 120)
    strength = random.uniform(10, 40)
    grain = random.normal(0, 8, (side, side))
    canvas = brightness + strength * waves + grain
    return canvas.clip(0, 255).astype(np.uint8)
