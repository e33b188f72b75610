"""Clips of clothes that move rigidly over a texture, flow and object of every pixel known: a test bed for motion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from likewise.data.synthetic.scenes import OBJECT, texture

MOTIONS = ("up", "down", "left", "right", "down and right", "up and right", "turning", "to and fro")
"""how the garments of a clip move relative to the background"""
TURNING = MOTIONS.index("turning")
TO_AND_FRO = MOTIONS.index("to and fro")
HEADINGS = (
    (0, -1),
    (0, 1),
    (-1, 0),
    (1, 0),
    (0.7071, 0.7071),
    (0.7071, -0.7071),
)
"""to the right and down, of the first six motions"""

TRAVEL = (0.2, 0.4)
"""how far a garment goes in a clip, in sides of the frame"""
TURN = (np.pi / 3, np.pi)
"""by how much one that turns does so in a clip, radians, either way"""
SWING = (0.06, 0.09)
"""how far one that moves to and fro gets from its middle, in sides of the frame; one and a half periods a clip"""
PAN = (0.0, 0.15)
"""how far the camera moves the whole picture in a clip, in sides of the frame"""

CHUNK = 2**22
"""pixels drawn at a time, so that memory does not grow with the number of clips"""


class FlowVideos(NamedTuple):
    """Clips and what they show."""

    frames: np.ndarray
    """uint8 [N, T, 1, S, S]"""
    flow: np.ndarray
    """float32 [N, T-1, 2, S, S]: pixels to the right and down that each pixel of a frame goes until the next one"""
    objects: np.ndarray
    """uint8 [N, T, S, S]: 0 is background, 1, 2, ... the garments in the order in which they were pasted"""
    motions: np.ndarray
    """int64 [N], indices into `MOTIONS`"""
    garments: np.ndarray
    """int64 [N, G]: the class of each garment"""


class Paths(NamedTuple):
    """Where things are over time."""

    centres: Tensor
    """float [N, G, T, 2]: pixels to the right and down"""
    angles: Tensor
    """float [N, G, T]: radians from right towards down"""
    camera: Tensor
    """float [N, T, 2]: how far the background has moved since the first frame"""


def flow_videos(
    items: np.ndarray,
    labels: np.ndarray,
    count: int,
    seed: int,
    side: int = 32,
    length: int = 8,
    garments: int = 1,
    camera: bool = True,
) -> FlowVideos:
    """Garments half as large as the frame that all move in one of eight ways, each at its own speed.

    What a garment is says nothing of how it moves. A camera that moves shifts background and garments equally; the
    motion that a clip is labelled with is then the one relative to the background.

    Args:
        items: uint8 [M, H, H], dark around the garment.
        labels: int [M], the class of each.
        count: how many clips.
        seed: of everything that is drawn.
        side: pixels along a side of a frame.
        length: frames of a clip.
        garments: of a clip; later ones cover earlier ones.
        camera: whether it moves.
    """
    random = np.random.default_rng(seed)
    motions = random.permutation(np.arange(count) % len(MOTIONS))
    which = random.integers(len(items), size=(count, garments))
    mirrored = random.random((count, garments)) < 0.5
    paths = _paths(random, motions, garments, side, length, camera)
    grounds = np.stack([texture(random, 2 * side) for _ in range(count)])
    pieces = pieces_of(items, side // 2)[torch.from_numpy(which)]  # [N, G, 2, H, H]
    is_mirrored = torch.from_numpy(mirrored)[..., None, None, None]
    pieces = torch.where(is_mirrored, pieces.flip(-1), pieces)
    step = max(1, CHUNK // (side * side * length))
    films = []
    for first in range(0, count, step):
        chunk = slice(first, first + step)
        chunk_paths = Paths(*(part[chunk] for part in paths))
        films.append(_film(torch.from_numpy(grounds[chunk]), pieces[chunk], chunk_paths, side))
    frames, flow, objects = map(torch.cat, zip(*films, strict=True))
    return FlowVideos(
        frames.numpy(),
        flow.numpy(),
        objects.numpy(),
        motions.astype(np.int64),
        labels[which].astype(np.int64),
    )


def _paths(
    random: np.random.Generator,
    motions: np.ndarray,
    garments: int,
    side: int,
    length: int,
    camera: bool,
) -> Paths:
    """Garments move about a middle that is drawn so that they stay inside the frame where there is room."""
    shape = len(motions), garments
    time = np.linspace(-0.5, 0.5, length)
    # [N, G, T, 2]
    gone = _straight(random, motions, shape, time) + _to_and_fro(random, motions, shape, time)
    turn = random.uniform(*TURN, shape) * random.choice([-1, 1], shape)  # [N, G]
    turn = turn * (motions == TURNING)[:, None]
    speed = random.uniform(*PAN, len(motions))[:, None]
    pan = camera * speed * _direction(random, (len(motions),))  # [N, 2]
    gone = side * (gone + pan[:, None, None] * time[:, None])
    # A garment reaches a quarter of a side from its middle.
    room = np.maximum(0, side / 4 - abs(gone).max(axis=2))
    middle = (side - 1) / 2 + random.uniform(-1, 1, (*shape, 2)) * room
    centres = middle[:, :, None] + gone
    angles = turn[..., None] * time
    moved = side * pan[:, None] * (time - time[0])[:, None]
    parts = (centres, angles, moved)
    return Paths(*(torch.from_numpy(part).float() for part in parts))


def _straight(
    random: np.random.Generator,
    motions: np.ndarray,
    shape: tuple[int, int],
    time: np.ndarray,
) -> np.ndarray:
    """How far garments of the first six motions are from their middle, in sides: [N, G, T, 2], else 0."""
    headings = np.array([*HEADINGS, (0, 0), (0, 0)])
    heading = headings[motions][:, None, None]
    travel = random.uniform(*TRAVEL, shape)[..., None, None]
    return travel * heading * time[:, None]


def _to_and_fro(
    random: np.random.Generator, motions: np.ndarray, shape: tuple[int, int], time: np.ndarray
) -> np.ndarray:
    """How far garments that move to and fro are from their middle, in sides: [N, G, T, 2], else 0."""
    greatest = random.uniform(*SWING, shape)[..., None]
    phase = random.uniform(0, 2 * np.pi, shape)[..., None]
    swing = greatest * np.sin(3 * np.pi * time + phase)  # [N, G, T]
    direction = _direction(random, shape)[:, :, None]
    chosen = (motions == TO_AND_FRO)[:, None, None, None]
    return chosen * swing[..., None] * direction


def _direction(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Unit arrows, [*shape, 2]."""
    angle = random.uniform(0, 2 * np.pi, shape)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def pieces_of(items: np.ndarray, size: int) -> Tensor:
    """Brightness where a garment is, and where it is: float [M, 2, size, size]."""
    brightness = torch.from_numpy(items).float()
    solid = (brightness >= OBJECT).float()
    stacked = torch.stack([brightness * solid, solid], dim=1)
    return functional.interpolate(
        stacked,
        size=(size, size),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )


def _film(
    grounds: Tensor, pieces: Tensor, paths: Paths, side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames, flow and objects of some clips."""
    axis = torch.arange(side)
    at = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), dim=-1).float()  # [S, S, 2]
    rows, length = paths.camera.shape[:2]
    shift = paths.camera[:, :, None, None] - side / 2
    shift = shift.expand(rows, length, side, side, 2)
    canvas = _each_frame(grounds.float()[:, None], length)
    frames = _sampled(canvas, at - shift)[:, :, 0]  # [N, T, S, S]
    pan = paths.camera.diff(dim=1)[:, :, :, None, None]
    flow = pan.expand(-1, -1, 2, side, side)
    objects = torch.zeros(frames.shape, dtype=torch.uint8)
    for number in range(pieces.shape[1]):
        centre = paths.centres[:, number, :, None, None]  # [N, T, 1, 1, 2]
        angle = paths.angles[:, number, :, None, None]
        on_piece = _turned(at - centre, -angle) + (pieces.shape[-1] - 1) / 2
        light, solid = _sampled(_each_frame(pieces[:, number], length), on_piece).unbind(2)
        covered = solid > 0.5
        frames = torch.where(covered, light / solid.clamp(min=0.5), frames)
        objects = torch.where(covered, torch.tensor(number + 1, dtype=torch.uint8), objects)
        # Where each pixel of the garment is one frame later, minus where it is.
        arrow = _turned((at - centre)[:, :-1], angle.diff(dim=1))
        moved = (arrow + centre[:, 1:] - at).movedim(-1, 2)  # [N, T-1, 2, S, S]
        flow = torch.where(covered[:, :-1, None], moved, flow)
    pixels = frames.round().clamp(0, 255).byte()
    return pixels[:, :, None], flow, objects


def _each_frame(images: Tensor, length: int) -> Tensor:
    """The same image in each frame: [N, C, H, H] -> [N, T, C, H, H], a view."""
    return images[:, None].expand(-1, length, -1, -1, -1)


def _turned(arrows: Tensor, angle: Tensor) -> Tensor:
    """Arrows [..., 2] (to the right, down) turned from right towards down."""
    across, down = arrows.unbind(-1)
    cosine = angle.cos()
    sine = angle.sin()
    new_across = cosine * across - sine * down
    new_down = sine * across + cosine * down
    return torch.stack([new_across, new_down], dim=-1)


def _sampled(images: Tensor, at: Tensor) -> Tensor:
    """Read [N, T, C, H, H] at pixels [N, T, S, S, 2], zero outside: [N, T, C, S, S]."""
    size = images.shape[-1]
    grid = (2 * at + 1) / size - 1
    read = functional.grid_sample(images.flatten(0, 1), grid.flatten(0, 1), align_corners=False)
    return read.unflatten(0, images.shape[:2])
