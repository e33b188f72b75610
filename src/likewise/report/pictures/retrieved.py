"""Captions or sounds and the images that they retrieve: the best and the worst queries."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from likewise.counts import count
from likewise.report.pages.blocks import Section, Text
from likewise.report.pages.rendering import render
from likewise.report.pictures.image_rows import ImageRow, ResultImage
from likewise.report.pictures.thumbnails import spectrogram, thumbnail


class Words(NamedTuple):
    """What a kind of query and its results are called."""

    section: str
    """id on the page"""
    title: str
    query: str
    image: str
    css: str
    """classes of the list"""
    explanation: str = ""


CAPTION = Words("captions", "Retrieval by caption", "caption", "image", "neighbours captions")
SOUND = Words(
    "sounds",
    "Retrieval by sound",
    "sound",
    "clip",
    "neighbours strips",
    " A sound is drawn as a spectrogram: time to the right, low bands at the bottom, loud ones bright.",
)


def retrieved(path: Path) -> list[Section]:
    """The section; none where nothing was retrieved. One that cannot be read says so."""
    if not path.exists():
        return []
    words = CAPTION
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        words = SOUND if "spectrograms" in arrays else CAPTION
        body = _body(arrays, words)
    except (KeyError, IndexError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        body = Text(f"{path.name} cannot be read ({error}).")
    return [Section(words.section, words.title, [body])]


def _body(arrays: Mapping[str, np.ndarray], words: Words) -> Markup:
    query, image = words.query, words.image
    explanation = (
        f"Test {image}s ranked by cosine similarity to a {query}, out of {count(int(arrays['images']))}, most similar "
        f"first. Each row begins with the {query}'s own {image}, marked by a solid frame in the results. The "
        f"{query}s that rank their own {image} best come first, then the worst, at most one for each {image}."
    )
    rows = [_row(arrays, row, words) for row in range(len(arrays["rank"]))]
    return render(
        "image_rows.html", explanation=explanation + words.explanation, css=words.css, rows=rows
    )


def _row(arrays: Mapping[str, np.ndarray], row: int, words: Words) -> ImageRow:
    rank = int(arrays["rank"][row])
    thumbnails = arrays["thumbnails"][row]
    query = [thumbnail(thumbnails[0], f"The {words.query}'s own {words.image}")]
    caption = ""
    if words is SOUND:
        query.append(spectrogram(arrays["spectrograms"][row], "The sound"))
    else:
        caption = str(arrays["captions"][row])
    results = []
    found = zip(thumbnails[1:], arrays["right"][row], arrays["cosine"][row], strict=True)
    for pixels, own, cosine in found:
        alternative = f"{'its own' if own else 'another'} {words.image}, cosine {cosine:.2f}"
        results.append(
            ResultImage(thumbnail(pixels, alternative), "same" if own else "", f"{cosine:.2f}")
        )
    alternative = f"Results for {caption or f'sound {row + 1}'}"
    return ImageRow(query, caption, results, alternative, note=f"rank {count(rank + 1)}")
