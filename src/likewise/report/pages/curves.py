"""Loss and accuracy while the run learned, against images seen, seconds and steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from likewise.report.pages.chart import AXES, MARKERS, axis_choice, axis_title, chart, colour, figure
from likewise.report.pages.markup import Child, Markup, element
from likewise.report.record import RunRecord
from likewise.report.wording import amount, count, duration, percent, score_name

POINTS = 300
"""points of a loss curve at most; more steps than that are averaged in equal groups"""

ACCURACY, RECALL = "_top1$", r"_r\d+$"
"""How the names of scores end that are taken while a run learns."""

RANKS = {"effective_rank": "effective rank", "feature_std": "spread of the unit vectors"}
"""Measures of collapse that a run may log."""


def online_scores(record: RunRecord) -> list[str]:
    """Names of what was scored while the run learned, accuracies first, each kind in the order it was first logged."""
    logged = dict.fromkeys(key for line in record.metrics for key in line)
    return [name for kind in (ACCURACY, RECALL) for name in logged if re.search(kind, name)]


def axes_of(lines: Sequence[dict[str, Any]]) -> list[str]:
    """The horizontal axes that every line can be placed on."""
    return [axis.key for axis in AXES if all(isinstance(line.get(axis.key), (int, float)) for line in lines)]


def curves(record: RunRecord) -> list[Child]:
    """The body of the section: a choice of axis, and one chart for each thing that was logged."""
    keys = axes_of(record.metrics)
    shares = _shares(record, keys, ACCURACY, "Accuracy"), _shares(record, keys, RECALL, "Recall")
    charts = [_loss(record, keys), *shares, *_ranks(record, keys)]
    if not keys or not any(charts):
        return [element("p", "Nothing was logged while the run learned.", class_="soft")]
    return [axis_choice("curve-axis", keys), element("div", charts, class_="charts")]


def grouped(lines: Sequence[dict[str, Any]], key: str, points: int = POINTS) -> tuple[np.ndarray, np.ndarray, int]:
    """Thin a long curve: positions, means of equal groups of steps, and how many steps a group holds.

    Returns:
        Indices int64 [P] of the last line of each group, mean values float64 [P] (NaN where the group has no number).
    """
    values = np.array([line[key] for line in lines], dtype=float)
    size = max(1, -(-len(values) // points))
    last = np.minimum(np.arange(size, len(values) + size, size), len(values)) - 1
    finite = np.isfinite(values)
    starts = np.arange(0, len(values), size)
    number = np.add.reduceat(finite.astype(float), starts)
    total = np.add.reduceat(np.where(finite, values, 0.0), starts)
    return last, np.where(number > 0, total / np.maximum(number, 1), np.nan), size


def _loss(record: RunRecord, keys: list[str]) -> Markup | None:
    lines = record.curve("loss")
    if not lines or not keys:
        return None
    last, values, size = grouped(lines, "loss")
    kept = [lines[place] for place in last]
    drawn = figure([_line(kept, values.tolist(), "loss", keys[0], 0, "lines", ".4g")], "loss", axis_title(keys[0]))
    said = f"The loss went from {values[0]:.4g} to {values[-1]:.4g} in {amount(lines[-1]['step'], 'step')}."
    caption = f"{said} Each point is the mean of {size} logged steps." if size > 1 else said
    broken = sum(not np.isfinite(line["loss"]) for line in lines)
    if broken:
        caption += f" {amount(broken, 'step')} had a loss that is not a number."
    return _titled("Loss", chart("loss", drawn, said, caption, _positions(kept, keys, 1)))


def _shares(record: RunRecord, keys: list[str], kind: str, title: str) -> Markup | None:
    """Accuracies, or recalls: shares of the validation images that were answered rightly."""
    names = [name for name in online_scores(record) if re.search(kind, name)]
    if not names or not keys:
        return None
    curves = [record.curve(name) for name in names]
    traces: list[Any] = [
        _line(lines, [line[name] for line in lines], score_name(name), keys[0], place, "lines+markers", ".1%")
        for place, (name, lines) in enumerate(zip(names, curves, strict=True))
    ]
    drawn = figure(traces, title.lower(), axis_title(keys[0]), showlegend=len(names) > 1)
    drawn.update_yaxes(tickformat=".1~%")
    said = ". ".join(_reached(name, lines) for name, lines in zip(names, curves, strict=True))
    caption = f"{said}. Taken on validation images while the run learned; the final scores are taken on test images."
    positions = {key: [[line[key] for line in lines] for lines in curves] for key in keys}
    return _titled(title, chart(title.lower(), drawn, said, caption, positions))


def _ranks(record: RunRecord, keys: list[str]) -> list[Markup]:
    made = []
    for key, title in RANKS.items():
        lines = record.curve(key)
        if len(lines) < 2 or not keys:
            continue
        values = [line[key] for line in lines]
        drawn = figure([_line(lines, values, title, keys[0], 2, "lines+markers", ".3g")], title, axis_title(keys[0]))
        drawn.update_yaxes(rangemode="tozero")
        said = f"The {title} went from {values[0]:.3g} to {values[-1]:.3g}; near its floor, an encoder has collapsed."
        made.append(_titled(title.capitalize(), chart(key, drawn, said, said, _positions(lines, keys, 1))))
    return made


def _line(
    lines: Sequence[dict[str, Any]], values: list[float], name: str, key: str, place: int, mode: str, form: str
) -> go.Scatter:
    return go.Scatter(
        x=[line[key] for line in lines],
        y=values,
        name=name,
        mode=mode,
        line={"color": colour(place), "width": 2},
        marker={"size": 7, "symbol": MARKERS[place % len(MARKERS)]},
        hovertemplate=f"%{{y:{form}}} at %{{x:,.0f}}<extra></extra>",
    )


def _positions(lines: Sequence[dict[str, Any]], keys: list[str], traces: int) -> dict[str, list[list[float]]]:
    return {key: [[line[key] for line in lines]] * traces for key in keys}


def _reached(name: str, lines: Sequence[dict[str, Any]]) -> str:
    last = lines[-1]
    place = [f"{count(last['images'])} images"] if "images" in last else []
    place += [duration(last["seconds"])] if "seconds" in last else []
    return f"{score_name(name).capitalize()} ended at {percent(last[name])} after {' and '.join(place) or 'training'}"


def _titled(title: str, content: Markup) -> Markup:
    return element("div", element("h3", title), content)
