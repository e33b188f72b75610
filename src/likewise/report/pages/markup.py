"""HTML that cannot be built unescaped: every string that is not ``Markup`` already is escaped on its way in."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

VOID = frozenset({"img", "br", "hr", "meta", "link", "input"})


class Markup(str):
    """Text that is HTML already. Only this module and constants in our own code make it."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]
"""What may stand inside an element; ``None`` stands for nothing, and a list for its members in order."""


def escaped(child: Child) -> str:
    """A child as HTML: Markup as it is, anything else with ``& < > " '`` made harmless."""
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return html.escape(child, quote=True)
    if isinstance(child, Iterable):
        return "".join(escaped(each) for each in child)
    return html.escape(str(child))


def element(tag: str, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """``<tag attribute="...">children</tag>``.

    ``class_`` and ``for_`` lose their underscore, ``data_chart`` becomes ``data-chart``; an attribute that is
    ``None`` or ``False`` is left out, and one that is ``True`` stands alone.
    """
    opening = tag
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        opening += f" {name}" if value is True else f' {name}="{html.escape(str(value), quote=True)}"'
    if tag in VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{escaped(children)}</{tag}>")


def table(caption: str, head: Sequence[Child], rows: Iterable[Sequence[Child]], class_: str | None = None) -> Markup:
    """A table whose first column names the row; wide ones scroll inside their own frame."""
    header = element("tr", [element("th", cell, scope="col") for cell in head])
    body = [
        element("tr", element("th", row[0], scope="row"), [element("td", cell) for cell in row[1:]]) for row in rows
    ]
    content = element("table", element("caption", caption), element("thead", header), element("tbody", body))
    # A region that scrolls must be reachable by keyboard.
    return element(
        "div", content, class_=f"table {class_ or ''}".strip(), tabindex=0, role="region", aria_label=caption
    )


def script_json(content: Any) -> Markup:
    """JSON that may stand inside a ``<script>``: no ``</script>`` or ``<!--`` survives, NaN becomes null."""
    text = json.dumps(_finite(content), separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _finite(content: Any) -> Any:
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(each) for each in content]
    return content
