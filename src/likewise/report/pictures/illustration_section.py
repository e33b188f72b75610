"""A method's own pictures on a run's page: a row for each of a few images."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from likewise.report.pages.blocks import Section
from likewise.report.pages.rendering import render
from likewise.report.pictures.illustration import Illustration, Picture
from likewise.report.pictures.thumbnails import HEIGHT, PageImage, image_uri
from likewise.run_folder import RunFolder


class DrawnPicture(NamedTuple):
    """A picture as the page shows it."""

    image: PageImage
    caption: str


class DrawnColumn(NamedTuple):
    """Pictures side by side under one heading."""

    name: str
    pictures: Sequence[DrawnPicture]


def read_illustration(folder: RunFolder, missing: list[str]) -> Illustration | None:
    """The method's pictures; None where there are none, or the file is damaged, which ``missing`` then says."""
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
    rows = []
    for row in illustration.rows:
        columns = []
        for name, pictures in groupby(row, lambda picture: picture.column):
            columns.append(DrawnColumn(name, list(map(_drawn, pictures))))
        rows.append(columns)
    body = render("illustration.html", explanation=illustration.explanation, rows=rows)
    return Section("illustration", illustration.title, [body])


def _drawn(picture: Picture) -> DrawnPicture:
    levels = (picture.pixels * 255).round().byte()
    pixels = levels.permute(1, 2, 0).numpy()  # uint8 [S, S, C]
    alternative = f"{picture.column}: {picture.caption}" if picture.caption else picture.column
    return DrawnPicture(PageImage(image_uri(pixels), alternative, HEIGHT, HEIGHT), picture.caption)
