"""Plotly figures in the page's own clothes: drawn by ``page.js``, which knows light, dark and paper."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

from likewise.report.pages.markup import Child, Markup, element, script_json

SERIES = (
    "#2f7ed8", "#dc6f0a", "#2a9d5c", "#9467d8", "#dd4b4b",
    "#129ba8", "#d65a9e", "#8f9310", "#a3714d", "#7d8694",
)  # fmt: skip
"""Each has a contrast of 3.3 or more on white and 4.3 or more on the dark page (WCAG 2.2 asks 3 of graphics)."""

GREY = "#7d8694"
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
"""Lines differ by dash as well as by colour."""
MARKERS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "star",
    "hexagon",
    "triangle-down",
    "pentagon",
    "bowtie",
)


class Axis(NamedTuple):
    """What may be read along the horizontal axis."""

    key: str
    """the logged quantity: images, seconds, step"""
    title: str


AXES = (
    Axis("images", "images seen"),
    Axis("seconds", "seconds of training"),
    Axis("step", "steps"),
    Axis("epochs", "passes over the training images"),
)


def axis_title(key: str) -> str:
    """How an axis is named."""
    return next(axis.title for axis in AXES if axis.key == key)


def plain(text: str) -> str:
    """Text that plotly shows as it stands: it reads ``<b>`` and its like as formatting."""
    return html.escape(text, quote=False)


def colour(place: int) -> str:
    """The colour of the n-th line or class."""
    return SERIES[place % len(SERIES)]


def figure(traces: Sequence[Any], y_title: str = "", x_title: str = "", **layout: Any) -> go.Figure:
    """Traces on one pair of axes, without the colours that depend on light and dark."""
    drawn = go.Figure(traces)
    # The default template is 7 kB of settings, all of which the page overrides.
    drawn.update_layout(template="none", margin={"l": 60, "r": 16, "t": 12, "b": 48})
    drawn.update_layout(legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, hovermode="closest")
    drawn.update_xaxes(title={"text": x_title, "standoff": 8}, zeroline=False)
    drawn.update_yaxes(title={"text": y_title, "standoff": 8}, zeroline=False)
    return drawn.update_layout(**layout)


def chart(
    name: str,
    drawn: go.Figure,
    alternative: str,
    caption: Child = None,
    axes: Mapping[str, Sequence[Sequence[float]]] | None = None,
    height: int = 340,
    **details: Any,
) -> Markup:
    """A place for a chart, and what is to be drawn there.

    Args:
        name: unique on the page.
        drawn: the figure.
        alternative: what a person who cannot see the chart should know.
        caption: shown below.
        axes: for each key of ``AXES``, the x values of every trace; the first is drawn first.
        height: pixels.
        **details: more for ``page.js``, such as the thumbnails of the map.
    """
    content: dict[str, Any] = {"figure": json.loads(drawn.to_json() or "{}"), **details}
    if axes:
        content["axes"] = {key: {"title": axis_title(key), "x": values} for key, values in axes.items()}
    return element(
        "figure",
        element("div", class_="chart", id=name, role="img", aria_label=alternative, style=f"height:{height}px"),
        element("script", script_json(content), type="application/json", data_chart=name),
        element("figcaption", caption) if caption else None,
    )


def axis_choice(name: str, keys: Sequence[str]) -> Markup:
    """Radio buttons that choose the horizontal axis of every chart in the same section."""
    return element(
        "fieldset",
        element("legend", "against"),
        [
            element("label", element("input", type="radio", name=name, value=key, checked=not place), axis_title(key))
            for place, key in enumerate(keys)
        ],
        class_="axis-choice",
    )
