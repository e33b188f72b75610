"""Plotly figures as the page draws them: ``page.js`` gives them the colours of light, dark and paper."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import plotly.graph_objects as go

SERIES = (
    "#2f7ed8",
    "#dc6f0a",
    "#2a9d5c",
    "#9467d8",
    "#dd4b4b",
    "#129ba8",
    "#d65a9e",
    "#8f9310",
    "#a3714d",
    "#7d8694",
)
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
    """What the horizontal axis shows."""

    key: str
    """the logged quantity: images, seconds, step, epochs"""
    title: str


AXES = (
    Axis("images", "images seen"),
    Axis("seconds", "seconds of training"),
    Axis("step", "steps"),
    Axis("epochs", "epochs"),
)


def axis_title(key: str) -> str:
    """The title of an axis."""
    return next(axis.title for axis in AXES if axis.key == key)


def plain(text: str) -> str:
    """Text escaped for plotly, which reads ``<b>`` and its like as formatting."""
    return html.escape(text, quote=False)


def colour(number: int) -> str:
    """The colour of the n-th line or class."""
    return SERIES[number % len(SERIES)]


def line_style(number: int, width: float = 2, size: float = 7) -> dict[str, Any]:
    """Colour, dash and marker of the n-th line: lines differ by more than colour."""
    return {
        "line": {"color": colour(number), "width": width, "dash": DASHES[number % len(DASHES)]},
        "marker": {"size": size, "symbol": MARKERS[number % len(MARKERS)]},
    }


def error_bars(
    values: Sequence[float],
    lows: Sequence[float],
    highs: Sequence[float],
    **style: Any,
) -> dict[str, Any]:
    """Plotly's error bars from the ends of intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - value for value, high in zip(values, highs, strict=True)],
        "arrayminus": [value - low for value, low in zip(values, lows, strict=True)],
        "thickness": 1.5,
        "width": 5,
        **style,
    }


def figure(
    traces: Sequence[Any],
    y_title: str = "",
    x_title: str = "",
    **layout: Any,
) -> go.Figure:
    """Traces on one pair of axes, without the colours that depend on light and dark."""
    drawn = go.Figure(traces)
    # The default template is 7 kB of settings, all of which the page overrides.
    drawn.update_layout(template="none", margin={"l": 60, "r": 16, "t": 12, "b": 48})
    above = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    drawn.update_layout(legend=above, hovermode="closest")
    drawn.update_xaxes(title={"text": x_title, "standoff": 8}, zeroline=False)
    drawn.update_yaxes(title={"text": y_title, "standoff": 8}, zeroline=False)
    return drawn.update_layout(**layout)


class Chart(NamedTuple):
    """A figure with its caption and its id on the page."""

    name: str
    """its id, unique on the page"""
    content: Mapping[str, Any]
    """what ``page.js`` reads: the figure, the x values of other axes, more for the map"""
    alternative: str
    """what someone who cannot see the chart should know"""
    caption: str
    height: int
    """pixels"""
    kind = "chart"


class Charts(NamedTuple):
    """Charts of one section with a choice of their common horizontal axis."""

    name: str
    """of the radio buttons"""
    axes: Sequence[Axis]
    """the first is drawn first"""
    charts: Sequence[Chart]
    titles: Sequence[str] = ()
    """one for each chart, which then stand side by side"""
    kind = "charts"


def chart(
    name: str,
    drawn: go.Figure,
    alternative: str,
    caption: str = "",
    axes: Mapping[str, Sequence[Sequence[float]]] | None = None,
    height: int = 340,
    **details: Any,
) -> Chart:
    """A figure for a page.

    Args:
        name: unique on the page.
        drawn: the figure.
        alternative: what someone who cannot see the chart should know.
        caption: below it.
        axes: for each key of ``AXES``, the x values of every trace; the first is drawn first.
        height: pixels.
        **details: more for ``page.js``, such as the thumbnails of the map.
    """
    content: dict[str, Any] = {"figure": json.loads(drawn.to_json() or "{}"), **details}
    if axes:
        content["axes"] = {}
        for key, values in axes.items():
            content["axes"][key] = {"title": axis_title(key), "x": values}
    return Chart(name, content, alternative, caption, height)


def axes_named(keys: Sequence[str]) -> list[Axis]:
    """The axes of these keys, in their order."""
    return [Axis(key, axis_title(key)) for key in keys]
