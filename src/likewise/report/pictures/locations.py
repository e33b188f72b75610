"""Which places of images a run takes for alike: between two views as it learned, and between images."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from likewise.report.pages.markup import Child, Markup, element
from likewise.report.pictures.thumbnails import image_uri
from likewise.report.wording import amount

HEIGHT = 128
"""Pixels of a picture on the page; its width follows from the shape that it had in the file."""
QUERIES = 3
"""Places asked about in an image."""
COLOURS = ("#ff9f1c", "#2ec4f1", "#ff4f79", "#8bd450", "#c792ff", "#ffe14d", "#00c2a8", "#ff7f50")
LINES = 24
"""Pairs drawn of an image at most."""


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """An ``.npz`` file's arrays; nothing where it is absent or damaged, since pictures are extra."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return {}


def matched_places(matches: dict[str, np.ndarray]) -> list[Child]:
    """The body of the section: two views of each image, with lines between places that the method matched."""
    said = (
        "Two views of a training image, as the method makes them, and the places that it took for the same at the end "
        "of training: a line for each pair, a colour for each place of the left view."
    )
    items = [_pair(*each) for each in zip(matches["first"], matches["second"], matches["pairs"], strict=True)]
    return [element("p", said), element("ul", items, class_="places")]


def alike_places(places: dict[str, np.ndarray]) -> list[Child]:
    """The body of the section: a few places of the first image, and the most alike place of every other."""
    features = _unit(places["features"].astype(np.float32))
    if len(features) < 2:
        return [element("p", "Places are compared between two images or more.", class_="soft")]
    asked = telling_places(features[0])
    side = round(features.shape[1] ** 0.5)
    said = (
        f"{amount(len(asked), 'place')} of the first image, and in every other image the place whose features are most "
        f"alike by cosine, under the same number. No label took part in it."
    )
    pictures = [_marked(places, 0, side, [(int(place), None) for place in asked], "asked about")]
    for image in range(1, len(features)):
        alike = features[0][asked] @ features[image].T  # [Q, U]
        found = [(int(row.argmax()), float(row.max())) for row in alike]
        pictures.append(_marked(places, image, side, found, "most alike"))
    return [element("p", said), element("ul", [element("li", each) for each in pictures], class_="places")]


def telling_places(features: np.ndarray, number: int = QUERIES) -> np.ndarray:
    """Places unlike each other: the one least like the image's mean, then in turn the one least like those taken.

    Args:
        features: float32 [U, D], rows of length 1.
        number: how many at most.
    """
    take_columns = [int((features @ features.mean(axis=0)).argmin())]
    while len(take_columns) < min(number, len(features)):
        nearest = (features @ features[take_columns].T).max(axis=1)
        take_columns.append(int(nearest.argmin()))
    return np.array(take_columns)


def _marked(
    places: dict[str, np.ndarray], image: int, side: int, marks: Sequence[tuple[int, float | None]], what: str
) -> Markup:
    """An image with numbered squares on some of its places."""
    width = HEIGHT * float(places["aspect"][image])
    drawn = [_picture(places["images"][image], 0, width)]
    said = []
    for number, (place, cosine) in enumerate(marks, start=1):
        row, column = divmod(place, side)
        x, y = column * width / side, row * HEIGHT / side
        colour = COLOURS[number - 1]
        drawn.append(_square(x, y, width / side, HEIGHT / side, colour))
        drawn.append(_number(number, x + width / side / 2, y + HEIGHT / side / 2, colour))
        said.append(f"{number} in row {row + 1}, column {column + 1}" + (f" ({cosine:.2f})" if cosine else ""))
    return _svg(width, drawn, f"Image {image + 1}, {what}: {'; '.join(said)}")


def _pair(first: np.ndarray, second: np.ndarray, pairs: np.ndarray) -> Markup:
    """Two views side by side, and lines between their matched places."""
    side, gap = round(len(pairs) ** 0.5), 32
    drawn = [_picture(first, 0, HEIGHT), _picture(second, HEIGHT + gap, HEIGHT)]
    cell, together = HEIGHT / side, np.argwhere(pairs)
    shown = together[np.linspace(0, len(together) - 1, min(LINES, len(together))).round().astype(int)]
    order = {int(u): n for n, u in enumerate(dict.fromkeys(shown[:, 0].tolist()))}
    for u, v in shown.tolist():
        colour = COLOURS[order[u] % len(COLOURS)]
        (y1, x1), (y2, x2) = (divmod(place, side) for place in (u, v))
        ends = [(x1 + 0.5) * cell, (y1 + 0.5) * cell, (x2 + 0.5) * cell + HEIGHT + gap, (y2 + 0.5) * cell]
        drawn.append(_square(x1 * cell, y1 * cell, cell, cell, colour))
        drawn.append(_square(x2 * cell + HEIGHT + gap, y2 * cell, cell, cell, colour))
        drawn.append(element("line", x1=_at(ends[0]), y1=_at(ends[1]), x2=_at(ends[2]), y2=_at(ends[3]), stroke=colour))
    total = amount(len(together), "pair")
    part = f", {len(shown)} of them drawn" if len(shown) < len(together) else ""
    caption = f"{total} of places{part}" if len(together) else "no places matched"
    return element("li", _svg(2 * HEIGHT + gap, drawn, caption), element("span", caption, class_="soft"))


def _svg(width: float, drawn: list[Markup], said: str) -> Markup:
    box = f"0 0 {_at(width)} {HEIGHT}"
    return element(
        "svg", drawn, viewBox=box, width=_at(width), height=HEIGHT, role="img", aria_label=said, class_="marked"
    )


def _picture(image: np.ndarray, x: float, width: float) -> Markup:
    uri = image_uri(image)
    return element("image", href=uri, x=_at(x), y=0, width=_at(width), height=HEIGHT, preserveAspectRatio="none")


def _square(x: float, y: float, width: float, height: float, colour: str) -> Markup:
    return element("rect", x=_at(x), y=_at(y), width=_at(width), height=_at(height), stroke=colour, fill="none")


def _number(number: int, x: float, y: float, colour: str) -> Markup:
    return element("text", number, x=_at(x), y=_at(y), fill=colour)


def _at(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _unit(features: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    return features / np.where(length > 0, length, 1)
