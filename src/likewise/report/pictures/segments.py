"""The class that a linear classifier predicts for every pixel, and the true one."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from likewise.report.pages.rendering import render
from likewise.report.pictures.locations import HEIGHT
from likewise.report.pictures.thumbnails import PageImage, image_uri
from likewise.report.record import ENCODERS
from likewise.report.wording import percent

IGNORED = (128, 128, 128)
"""The colour of pixels that belong to no class."""


def segments(
    locations: Mapping[str, np.ndarray],
    iou: Mapping[str, Mapping[str, float]],
) -> Markup:
    """The body of the section: image, prediction and true mask in rows, and the IoU of each class.

    Args:
        locations: arrays of ``locations.npz``.
        iou: by encoder and class name, as ``scores.json`` has it.
    """
    names = [str(name) for name in locations["mask_names"]]
    colours = palette(len(names))
    encoders = [who for who in ENCODERS if who in iou]
    classes = []
    for name, colour in zip(names, colours.tolist(), strict=True):
        if any(name in iou[who] for who in encoders):
            values = [percent(iou[who].get(name)) for who in encoders]
            classes.append(
                {"name": name, "colour": f"rgb({','.join(map(str, colour))})", "values": values}
            )
    return render(
        "segments.html",
        rows=[_row(locations, image, colours) for image in range(len(locations["images"]))],
        encoders=[ENCODERS[who] for who in encoders],
        classes=classes,
    )


def palette(count: int) -> np.ndarray:
    """Distinct colours, uint8 [count, 3]: hues by the golden ratio, brightness in three steps."""
    colours = []
    for n in range(count):
        hue = (0.58 + 0.618034 * n) % 1
        brightness = (0.95, 0.7, 0.5)[n % 3]
        colours.append(colorsys.hsv_to_rgb(hue, 0.75, brightness))
    levels = np.array(colours).reshape(-1, 3) * 255
    return levels.round().astype(np.uint8)


def painted(mask: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Class numbers [H, W], negative where there is none, as colours uint8 [H, W, 3]."""
    # The last is of pixels without a class.
    table = np.concatenate([colours, np.array([IGNORED], np.uint8)])
    return table[np.where(mask < 0, len(colours), mask)]


def _row(locations: Mapping[str, np.ndarray], image: int, colours: np.ndarray) -> list[PageImage]:
    width = round(HEIGHT * float(locations["aspect"][image]))
    pictures = {
        f"Test image {image + 1}": locations["images"][image],
        "Prediction": painted(locations["predictions"][image], colours),
        "True mask": painted(locations["masks"][image], colours),
    }
    return [PageImage(image_uri(pixels), name, width, HEIGHT) for name, pixels in pictures.items()]
