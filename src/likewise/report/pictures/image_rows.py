"""Rows of images on a page: a query, and the images that it retrieves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from likewise.report.pictures.thumbnails import PageImage


class ResultImage(NamedTuple):
    """An image that a query retrieves."""

    image: PageImage
    verdict: str = ""
    """class of its frame in the style sheet: same, other, or no frame"""
    caption: str = ""
    title: str = ""
    """what the pointer brings up"""


class ImageRow(NamedTuple):
    """A query and its results, most similar first."""

    query: Sequence[PageImage]
    caption: str
    results: Sequence[ResultImage]
    alternative: str
    """what the list of results is called for those who do not see it"""
    note: str = ""
    """in brackets behind the caption"""
