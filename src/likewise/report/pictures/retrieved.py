"""Captions or sounds beside the images that they found: those that found their own best, and those that did worst."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from likewise.report.pages.document import Section
from likewise.report.pages.markup import Child, Markup, element
from likewise.report.pictures.thumbnails import picture, spectrogram
from likewise.report.wording import count, sentence_case


class Words(NamedTuple):
    """How a kind of query and what it finds are spoken of."""

    name: str
    title: str
    query: str
    """what asks"""
    image: str
    """what is found"""
    form: str
    """classes of the list"""


CAPTION = Words("captions", "What captions find", "caption", "image", "neighbours")
SOUND = Words("sounds", "What sounds find", "sound", "clip", "neighbours strips")


def retrieved(path: Path) -> Iterator[Section]:
    """The section; none where nothing was retrieved. One that cannot be read says so."""
    if not path.exists():
        return
    words = CAPTION
    try:
        with np.load(path, allow_pickle=False) as arrays:
            kept = dict(arrays)
        words = SOUND if "spectrograms" in kept else CAPTION
        body = _body(kept, words)
    except (KeyError, IndexError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        body = [element("p", f"{path.name} cannot be read ({error}).", class_="soft")]
    yield Section(words.name, words.title, body)


def _body(kept: dict[str, np.ndarray], words: Words) -> list[Child]:
    query, image = words.query, words.image
    drawn = " A sound is drawn as a spectrogram: time to the right, low bands at the bottom, loud ones bright."
    said = (
        f"A {query} of a test {image}, that {image}, and the {image}s it found among {count(int(kept['images']))}, the "
        f"most alike first, with their cosine. First those that found their own best, then those that did worst, one "
        f"{query} of each {image}. A solid frame marks the {query}'s own {image}.{drawn if words is SOUND else ''}"
    )
    rows = [_row(kept, row, words) for row in range(len(kept["rank"]))]
    return [element("p", said), element("ul", rows, class_=words.form)]


def _row(kept: dict[str, np.ndarray], row: int, words: Words) -> Markup:
    rank, thumbnails = int(kept["rank"][row]), kept["thumbnails"][row]
    place = "found first" if rank == 0 else f"its own is number {count(rank + 1)}"
    heard = spectrogram(kept["spectrograms"][row], "The sound") if words is SOUND else None
    caption = str(kept["captions"][row]) if words is CAPTION else ""
    own = picture(thumbnails[0], f"The {words.query}'s own {words.image}")
    asked = element("div", own, heard, element("span", caption, element("small", f" ({place})")), class_="query")
    found = [
        _found(pixels, bool(right), float(cosine), words)
        for pixels, right, cosine in zip(thumbnails[1:], kept["right"][row], kept["cosine"][row], strict=True)
    ]
    label = f"{sentence_case(words.image)}s found by: {caption or f'sound {row + 1}'}"
    return element("li", asked, element("ol", found, aria_label=label))


def _found(pixels: np.ndarray, right: bool, cosine: float, words: Words) -> Markup:
    said = f"{'its own' if right else 'another'} {words.image}, cosine {cosine:.2f}"
    class_ = "frame same" if right else "frame"
    return element("li", picture(pixels, said), element("span", f"{cosine:.2f}"), class_=class_)
