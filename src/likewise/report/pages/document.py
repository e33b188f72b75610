"""The frame of every page: one file that opens offline, with style, script and charts inside."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from plotly.offline import get_plotlyjs

from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.report.pages.markup import Child, Markup, element

# Two circles that share ground: alike. An icon inside the page also keeps browsers from asking a server for one.
LOGO = Markup(
    '<svg class="logo" viewBox="0 0 32 20" aria-hidden="true"><circle cx="11" cy="10" r="9"/>'
    '<circle cx="21" cy="10" r="9"/></svg>'
)
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Ccircle cx='11' cy='16' "
    "r='9' fill='%232f7ed8' opacity='.75'/%3E%3Ccircle cx='21' cy='16' r='9' fill='%23dc6f0a' opacity='.75'/%3E"
    "%3C/svg%3E"
)
MARK = element("meta", name="generator", content="likewise")
"""By this a page of ours is known, and may be replaced by a newer one."""


class Section(NamedTuple):
    """A part of a page with its place in the contents."""

    name: str
    title: str
    body: Sequence[Child]


def document(title: str, lead: Sequence[Child], sections: Sequence[Section], footer: str) -> str:
    """A whole page.

    Args:
        title: the sentence at the top.
        lead: what stands below it, before the contents.
        sections: in reading order.
        footer: one line that says what wrote the page.

    Raises:
        ValueError: two parts have one id, so that a chart would be drawn over whatever has it first.
    """
    body = [
        element("a", "Skip to the content", href="#content", class_="skip"),
        element("header", element("p", LOGO, "likewise", class_="mark"), element("h1", title), lead),
        _contents(sections),
        element("main", [_section(section) for section in sections], id="content"),
        element("footer", element("p", footer)),
    ]
    _refuse_twin_ids("".join(map(str, body)))
    drawn = any("data-chart=" in str(part) for part in body)
    head = [
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        MARK,
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("link", rel="icon", href=ICON),
        element("style", Markup(_asset("page.css"))),
    ]
    scripts = [element("script", Markup(get_plotlyjs())), element("script", Markup(_asset("page.js")))] if drawn else []
    return (
        "<!doctype html>\n" + element("html", element("head", head), element("body", body, scripts), lang="en") + "\n"
    )


def _refuse_twin_ids(body: str) -> None:
    twins = [name for name, count in Counter(re.findall(r'<[^<>]* id="([^"]*)"', body)).items() if count > 1]
    if twins:
        raise ValueError(f"ids that stand twice on the page: {', '.join(twins)}")


def write_page(path: Path, content: str) -> Path:
    """Write a page so that a kill leaves either the old one or the new one.

    Raises:
        LikewiseError: something else than a page of ours lies there.
        EnvironmentIOError: the disk is full, or the folder cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    if path.exists() and not _ours(path):
        raise LikewiseError(
            f"{path} exists and is not a page that likewise wrote, so it is left alone. Give another --out."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise EnvironmentIOError(
            f"Cannot write the page {path}: {error.strerror or error}. Choose a folder with room that you may write to."
        ) from error
    return path


def _ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as content:
        return MARK.encode() in content.read(2000)


def _contents(sections: Sequence[Section]) -> Markup:
    links = [element("li", element("a", section.title, href=f"#{section.name}")) for section in sections]
    return element("nav", element("ol", links), aria_label="Contents")


def _section(section: Section) -> Markup:
    heading = element("h2", section.title, id=f"{section.name}-title")
    return element("section", heading, section.body, id=section.name, aria_labelledby=f"{section.name}-title")


def _asset(name: str) -> str:
    return files("likewise.report.pages").joinpath(name).read_text(encoding="utf-8")
