"""Captions beside the images that they found: those that found their own best, and those that did worst."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from likewise.report.markup import Child, Markup, element
from likewise.report.thumbnails import image_uri
from likewise.report.wording import count


def retrieved(path: Path) -> list[Child]:
    """The body of the section; empty where nothing was retrieved or the file cannot be read."""
    if not path.exists():
        return []
    try:
        with np.load(path, allow_pickle=False) as arrays:
            kept = dict(arrays)
        rows = [_row(kept, row) for row in range(len(kept["captions"]))]
    except (KeyError, IndexError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        return [element("p", f"{path.name} cannot be read ({error}).", class_="soft")]
    said = (
        f"A caption of a test image, that image, and the images it found among {count(int(kept['images']))}, the most "
        "alike first, with their cosine. First those that found their own best, then those that did worst, one caption "
        "an image. A solid frame marks the caption's own image."
    )
    return [element("p", said), element("ul", rows, class_="neighbours")]


def _row(kept: dict[str, np.ndarray], row: int) -> Markup:
    caption, rank, thumbnails = str(kept["captions"][row]), int(kept["rank"][row]), kept["thumbnails"][row]
    place = "found first" if rank == 0 else f"its own is number {count(rank + 1)}"
    own = element("img", src=image_uri(thumbnails[0]), alt="The caption's own image", width=56, height=56)
    asked = element("div", own, element("span", caption, element("small", f" ({place})")), class_="query")
    found = [
        _found(picture, bool(right), float(cosine))
        for picture, right, cosine in zip(thumbnails[1:], kept["right"][row], kept["cosine"][row], strict=True)
    ]
    return element("li", asked, element("ol", found, aria_label=f"Images found by: {caption}"))


def _found(picture: np.ndarray, right: bool, cosine: float) -> Markup:
    said = f"{'its own image' if right else 'another image'}, cosine {cosine:.2f}"
    image = element("img", src=image_uri(picture), alt=said, width=56, height=56)
    return element("li", image, element("span", f"{cosine:.2f}"), class_="frame same" if right else "frame")
