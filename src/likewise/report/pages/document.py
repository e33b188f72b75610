"""The frame of every page: one file that opens offline, with style, script and charts inside."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from markupsafe import Markup
from plotly.offline import get_plotlyjs

from likewise.atomic_write import disk_error, write_bytes
from likewise.errors import LikewiseError
from likewise.report.pages.blocks import Block, Section
from likewise.report.pages.rendering import render

FOOTER = "Written by likewise. The page is one file and fetches nothing."
GENERATOR = b'<meta name="generator" content="likewise">'
"""By this a page of ours is recognised, and may be replaced by a newer one."""
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='11' cy='16' "
    "r='9' fill='%232f7ed8' opacity='.75'/%3E%3Ccircle cx='21' cy='16' r='9' fill='%23dc6f0a' opacity='.75'/%3E"
    "%3C/svg%3E"
)
"""Two overlapping circles. An icon inside the page also keeps browsers from asking a server for one."""


def document(
    title: str, lead: Sequence[Block], sections: Sequence[Section], footer: str = FOOTER
) -> str:
    """A whole page.

    Args:
        title: the sentence at the top.
        lead: the blocks below it, before the contents.
        sections: in reading order.
        footer: one line that says what wrote the page.

    Raises:
        ValueError: an id is used twice, so that a chart would be drawn over whatever has it first.
    """
    content = render("content.html", title=title, lead=lead, sections=sections, footer=footer)
    _refuse_duplicate_ids(content)
    scripts = [get_plotlyjs(), _asset("page.js")] if "data-chart=" in content else []
    return str(
        render(
            "page.html",
            title=title,
            icon=ICON,
            style=Markup(_asset("page.css")),
            content=content,
            scripts=[Markup(script) for script in scripts],
        )
    )


def write_page(path: Path, content: str) -> Path:
    """Write a page so that a kill leaves either the old one or the new one.

    Raises:
        LikewiseError: ``path`` is a file that is not a page of likewise.
        EnvironmentIOError: the disk is full, or the folder cannot be written.
    """
    if path.exists() and not _ours(path):
        raise LikewiseError(
            f"{path} exists and is not a page that likewise wrote, so it is left alone. Give another --out."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_error(path, error) from error
    write_bytes(path, content.encode())
    return path


def _ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as content:
        return GENERATOR in content.read(2000)


def _refuse_duplicate_ids(page: str) -> None:
    ids = Counter(re.findall(r'<[^<>]* id="([^"]*)"', page))
    duplicates = [name for name, number in ids.items() if number > 1]
    if duplicates:
        raise ValueError(f"ids that are used twice on the page: {', '.join(duplicates)}")


def _asset(name: str) -> str:
    return files("likewise.report.pages").joinpath(name).read_text(encoding="utf-8")
