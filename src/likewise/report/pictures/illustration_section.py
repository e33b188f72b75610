"""A method's own pictures of what it learned: a row for each of a few images."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from itertools import groupby

import numpy as np

from likewise.report.pages.document import Section
from likewise.report.pages.markup import Markup, element
from likewise.report.pictures.illustration import Illustration, Picture
from likewise.report.pictures.thumbnails import image_uri
from likewise.run_folder import RunFolder


def read_illustration(folder: RunFolder, missing: list[str]) -> Illustration | None:
    """What the method drew; None where it draws nothing, or cannot be read, which ``missing`` then says."""
    if not folder.illustration.exists():
        return None
    try:
        return Illustration.load(folder.illustration)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        missing.append(
            f"{folder.illustration.name} cannot be read ({error}), so the method's own pictures are left out."
        )
        return None


def illustration_section(illustration: Illustration) -> Section:
    """The part of the page, each row's pictures under their columns' headings."""
    rows = [_row(number, row) for number, row in enumerate(illustration.rows, start=1)]
    body = [element("p", illustration.said), element("ul", rows, class_="illustration")]
    return Section("illustration", illustration.title, body)


def _row(number: int, pictures: Sequence[Picture]) -> Markup:
    columns = [_column(number, name, list(group)) for name, group in groupby(pictures, lambda each: each.column)]
    return element("li", columns)


def _column(number: int, name: str, pictures: list[Picture]) -> Markup:
    items = [
        element(
            "li",
            element("img", src=_uri(each), alt=f"{name}: {each.said}" if each.said else name, width=56, height=56),
            each.said,
        )
        for each in pictures
    ]
    return element("figure", element("figcaption", name), element("ol", items, aria_label=f"{name}, example {number}"))


def _uri(picture: Picture) -> str:
    return image_uri((picture.pixels * 255).round().byte().permute(1, 2, 0).numpy().astype(np.uint8))
