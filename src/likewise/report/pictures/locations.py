"""Dense features on a page: locations that are matched between two views, and similar locations of different images."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from likewise.counts import amount
from likewise.data.even_sample import evenly_spaced
from likewise.report.pages.rendering import render
from likewise.report.pictures.thumbnails import image_uri

HEIGHT = 128
"""Pixels of a picture on the page; its width follows from the aspect ratio of the file."""
GAP = 32
"""Pixels between two views."""
QUERIES = 3
"""Query locations in an image."""
COLOURS = ("#ff9f1c", "#2ec4f1", "#ff4f79", "#8bd450", "#c792ff", "#ffe14d", "#00c2a8", "#ff7f50")
LINES = 24
"""Pairs drawn of an image at most."""


class DrawnImage(NamedTuple):
    """An image in a drawing."""

    uri: str
    x: float
    width: float


class Square(NamedTuple):
    """The outline of a location."""

    x: float
    y: float
    width: float
    height: float
    colour: str


class Line(NamedTuple):
    """A line between two locations."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str


class Number(NamedTuple):
    """A number in the middle of a location."""

    text: str
    x: float
    y: float
    colour: str


@dataclass
class Drawing:
    """One or two images with marks on them; all lengths are pixels of the page."""

    width: float
    alternative: str = ""
    caption: str = ""
    height: int = HEIGHT
    images: list[DrawnImage] = field(default_factory=list)
    squares: list[Square] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """An ``.npz`` file's arrays; nothing where it is absent or damaged, since pictures are extra."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}


def matched_locations(matches: Mapping[str, np.ndarray]) -> Markup:
    """The body of the section: two views of each image, with lines between locations that the method matched."""
    explanation = (
        "Two views of a training image, and the locations that the method matches between them at the end of training: "
        "a line for each pair, a colour for each location of the left view."
    )
    pairs = zip(matches["first"], matches["second"], matches["pairs"], strict=True)
    return render(
        "locations.html", explanation=explanation, drawings=[_pair(*each) for each in pairs]
    )


def similar_locations(locations: Mapping[str, np.ndarray]) -> Markup | str:
    """The body of the section: a few locations of the first image, and the most similar location of every other."""
    features = _unit(locations["features"].astype(np.float32))  # [n, U, D]
    if len(features) < 2:
        return "Locations are compared between two images or more."
    queries = distinct_locations(features[0])
    explanation = (
        f"{amount(len(queries), 'location')} of the first image, and in every other image the location of the highest "
        f"cosine similarity, under the same number. No labels are used."
    )
    marks: list[tuple[int, float | None]] = [(int(location), None) for location in queries]
    drawings = [_marked(locations, 0, marks, "queries")]
    for image in range(1, len(features)):
        similarity = features[0][queries] @ features[image].T  # [Q, U]
        found = [(int(row.argmax()), float(row.max())) for row in similarity]
        drawings.append(_marked(locations, image, found, "most similar"))
    return render("locations.html", explanation=explanation, drawings=drawings)


def distinct_locations(features: np.ndarray) -> np.ndarray:
    """Dissimilar locations: the least similar to the image's mean, then each time the least similar to those chosen.

    Args:
        features: float32 [U, D], rows of length 1.
    """
    chosen = [int((features @ features.mean(axis=0)).argmin())]
    while len(chosen) < min(QUERIES, len(features)):
        nearest = (features @ features[chosen].T).max(axis=1)
        chosen.append(int(nearest.argmin()))
    return np.array(chosen)


def _marked(
    locations: Mapping[str, np.ndarray],
    image: int,
    marks: Sequence[tuple[int, float | None]],
    what: str,
) -> Drawing:
    """An image with numbered squares on some of its locations."""
    side = round(locations["features"].shape[1] ** 0.5)
    width = HEIGHT * float(locations["aspect"][image])
    cell_width = width / side
    cell_height = HEIGHT / side
    drawing = Drawing(width)
    drawing.images.append(DrawnImage(image_uri(locations["images"][image]), 0, width))
    marked = []
    for number, (location, cosine) in enumerate(marks, start=1):
        row, column = divmod(location, side)
        x = column * cell_width
        y = row * cell_height
        colour = COLOURS[number - 1]
        square = Square(x, y, cell_width, cell_height, colour)
        drawing.squares.append(square)
        drawing.numbers.append(Number(str(number), *_middle(square), colour))
        similarity = f" ({cosine:.2f})" if cosine else ""
        marked.append(f"{number} in row {row + 1}, column {column + 1}{similarity}")
    drawing.alternative = f"Image {image + 1}, {what}: {'; '.join(marked)}"
    return drawing


def _pair(first: np.ndarray, second: np.ndarray, pairs: np.ndarray) -> Drawing:
    """Two views side by side, and lines between their matched locations.

    Args:
        first: uint8 [S, S, C].
        second: uint8 [S, S, C].
        pairs: bool [U, U].
    """
    side = round(len(pairs) ** 0.5)
    cell = HEIGHT / side
    right = HEIGHT + GAP
    drawing = Drawing(right + HEIGHT)
    drawing.images.append(DrawnImage(image_uri(first), 0, HEIGHT))
    drawing.images.append(DrawnImage(image_uri(second), right, HEIGHT))
    matched = np.argwhere(pairs)  # [P, 2]
    drawn = matched[evenly_spaced(len(matched), LINES)]
    colours: dict[int, str] = {}
    for u, v in drawn.tolist():
        colour = colours.setdefault(u, COLOURS[len(colours) % len(COLOURS)])
        row1, column1 = divmod(u, side)
        row2, column2 = divmod(v, side)
        one = Square(column1 * cell, row1 * cell, cell, cell, colour)
        other = Square(column2 * cell + right, row2 * cell, cell, cell, colour)
        drawing.squares += [one, other]
        drawing.lines.append(Line(*_middle(one), *_middle(other), colour))
    drawing.caption = drawing.alternative = _pairs(len(matched), len(drawn))
    return drawing


def _middle(square: Square) -> tuple[float, float]:
    return square.x + square.width / 2, square.y + square.height / 2


def _pairs(matched: int, drawn: int) -> str:
    if not matched:
        return "no matched locations"
    return f"{amount(matched, 'matched pair')}" + (f", {drawn} drawn" if drawn < matched else "")


def _unit(features: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    return features / np.where(length > 0, length, 1)
