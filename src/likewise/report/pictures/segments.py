"""What a linear classifier says of every pixel, beside the truth."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

import numpy as np

from likewise.report.pages.markup import Child, Markup, element, table
from likewise.report.pictures.locations import HEIGHT
from likewise.report.pictures.thumbnails import image_uri
from likewise.report.record import ENCODERS
from likewise.report.wording import percent

VOID = (128, 128, 128)
"""The colour of pixels that belong to no class."""


def segments(places: Mapping[str, np.ndarray], iou: Mapping[str, Mapping[str, float]]) -> list[Child]:
    """The body of the section: image, prediction and true mask in rows, and how well each class is told.

    Args:
        places: arrays of ``locations.npz``.
        iou: by encoder and class name, as ``scores.json`` has it.
    """
    names = [str(name) for name in places["mask_names"]]
    paint = palette(len(names))
    said = (
        "Test images, what a linear classifier on the frozen map says of each pixel, and the true masks. Grey pixels "
        "belong to no class and are not counted."
    )
    head = element("li", *[element("span", each) for each in ("image", "predicted", "true")], class_="head")
    rows = [_row(places, image, paint) for image in range(len(places["images"]))]
    return [element("p", said), element("ul", head, rows, class_="segments"), _classes(names, paint, iou)]


def palette(count: int) -> np.ndarray:
    """Colours that can be told apart, uint8 [count, 3]: hues by the golden ratio, brightness in three steps."""
    hues = [colorsys.hsv_to_rgb((0.58 + 0.618034 * n) % 1, 0.75, (0.95, 0.7, 0.5)[n % 3]) for n in range(count)]
    return (np.array(hues).reshape(-1, 3) * 255).round().astype(np.uint8)


def painted(mask: np.ndarray, paint: np.ndarray) -> np.ndarray:
    """Class numbers [H, W], negative where there is none, as colours uint8 [H, W, 3]."""
    return np.concatenate([paint, np.array([VOID], np.uint8)])[np.where(mask < 0, len(paint), mask)]


def _row(places: Mapping[str, np.ndarray], image: int, paint: np.ndarray) -> Markup:
    width = round(HEIGHT * float(places["aspect"][image]))
    shown = {
        f"Test image {image + 1}": places["images"][image],
        "What was predicted": painted(places["predictions"][image], paint),
        "The true mask": painted(places["masks"][image], paint),
    }
    pictures = [
        element("img", src=image_uri(each), alt=said, width=width, height=HEIGHT) for said, each in shown.items()
    ]
    return element("li", pictures)


def _classes(names: list[str], paint: np.ndarray, iou: Mapping[str, Mapping[str, float]]) -> Markup:
    present = [who for who in ENCODERS if who in iou]
    rows = []
    for name, colour in zip(names, paint.tolist(), strict=True):
        if any(name in iou[who] for who in present):
            key = element("span", class_="swatch", style=f"background:rgb({','.join(map(str, colour))})")
            rows.append([[key, name], *[percent(iou[who].get(name)) for who in present]])
    caption = "Intersection over union of each class that the test masks show."
    return table(caption, ["class", *[ENCODERS[who] for who in present]], rows)
