"""Loss and accuracy during training, against images seen, seconds and steps."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from likewise.counts import amount, count
from likewise.report.pages.blocks import Block, Text
from likewise.report.pages.chart import (
    AXES,
    MARKERS,
    Chart,
    Charts,
    axes_named,
    axis_title,
    chart,
    colour,
    figure,
)
from likewise.report.record import RunRecord
from likewise.report.wording import duration, percent, score_name, sentence_case

Lines = Sequence[dict[str, Any]]
"""What a run logged, in order: numbers by name"""

POINTS = 300
"""points of a loss curve at most; more steps than that are averaged in equal groups"""

FEW = 20
"""Up to so many points of a loss curve are marked: a line alone would show nothing of one."""

ACCURACY = "_top1$"
RECALL = r"_r\d+$"
"""How the names of scores end that are measured during training."""

GUARDS = ("decline", "collapse")
"""Under which names the log holds what guards found."""

RANKS = {"effective_rank": "effective rank", "feature_std": "feature standard deviation"}
"""Measures of collapse that a run may log."""


def online_scores(record: RunRecord) -> list[str]:
    """Names of the scores measured during training, accuracies first, each kind in the order it was first logged."""
    logged: dict[str, None] = {}  # a set in order
    for line in record.metrics:
        logged |= dict.fromkeys(line)
    accuracies = [name for name in logged if re.search(ACCURACY, name)]
    recalls = [name for name in logged if re.search(RECALL, name)]
    return accuracies + recalls


def axes_of(lines: Lines) -> list[str]:
    """The horizontal axes for which every line has a value."""
    keys = []
    for axis in AXES:
        values = [line.get(axis.key) for line in lines]
        if all(isinstance(value, (int, float)) for value in values):
            keys.append(axis.key)
    return keys


def curves(record: RunRecord) -> list[Block]:
    """The body of the section: a choice of axis, and one chart for each thing that was logged."""
    keys = axes_of(record.metrics)
    charts = _charts(record, keys) if keys else {}
    if not charts:
        return [Text("Nothing was logged during training.")]
    found: list[Block] = []
    for line in record.metrics:
        found += [Text(line[guard]) for guard in GUARDS if guard in line]
    found.append(Charts("curve-axis", axes_named(keys), list(charts.values()), list(charts)))
    return found


def _charts(record: RunRecord, keys: list[str]) -> dict[str, Chart]:
    """By title: the loss, then what was scored, then measures of collapse."""
    charts: dict[str, Chart | None] = {"Loss": _loss(record, keys)}
    charts["Accuracy"] = _shares(record, keys, ACCURACY, "accuracy")
    charts["Recall"] = _shares(record, keys, RECALL, "recall")
    for key, title in RANKS.items():
        charts[title.capitalize()] = _rank(record, keys, key, title)
    return {title: drawn for title, drawn in charts.items() if drawn is not None}


def grouped(
    lines: Lines,
    key: str,
    points: int = POINTS,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Thin a long curve: positions, means of equal groups of steps, and how many steps a group holds.

    Returns:
        Indices int64 [P] of the last line of each group, mean values float64 [P] (NaN where the group has no number).
    """
    values = np.array([line[key] for line in lines], dtype=float)
    size = max(1, math.ceil(len(values) / points))
    starts = np.arange(0, len(values), size)
    last = np.minimum(starts + size, len(values)) - 1
    finite = np.isfinite(values)
    number = np.add.reduceat(finite.astype(float), starts)
    total = np.add.reduceat(np.where(finite, values, 0.0), starts)
    means = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return last, means, size


def _loss(record: RunRecord, keys: list[str]) -> Chart | None:
    lines = record.curve("loss")
    if not lines:
        return None
    last, values, size = grouped(lines, "loss")
    drawn_lines = [lines[i] for i in last]
    mode = "lines" if len(values) > FEW else "lines+markers"
    line = _line(drawn_lines, values.tolist(), "loss", keys[0], 0, mode, ".4g")
    drawn = figure([line], "loss", axis_title(keys[0]))
    alternative = f"The loss went from {values[0]:.4g} to {values[-1]:.4g} in {amount(lines[-1]['step'], 'step')}."
    if len(values) == 1:
        alternative = f"The loss was {values[0]:.4g} after {amount(lines[-1]['step'], 'step')}; it was logged once."
    caption = alternative
    if size > 1:
        caption += f" Each point is the mean of {size} logged steps."
    broken = sum(not np.isfinite(line["loss"]) for line in lines)
    if broken:
        caption += f" {amount(broken, 'step')} had a loss that is not a number."
    return chart("loss", drawn, alternative, caption, positions([drawn_lines], keys))


def _shares(record: RunRecord, keys: list[str], kind: str, title: str) -> Chart | None:
    """Accuracies, or recalls, on validation images."""
    names = [name for name in online_scores(record) if re.search(kind, name)]
    if not names:
        return None
    curves = [record.curve(name) for name in names]
    traces: list[Any] = []
    reached = []
    for number, (name, lines) in enumerate(zip(names, curves, strict=True)):
        values = [line[name] for line in lines]
        traces.append(
            _line(lines, values, score_name(name), keys[0], number, "lines+markers", ".1%")
        )
        reached.append(_reached(name, lines))
    drawn = figure(traces, title, axis_title(keys[0]), showlegend=len(names) > 1)
    drawn.update_yaxes(tickformat=".1~%", minallowed=0, maxallowed=1)
    alternative = ". ".join(reached)
    caption = f"{alternative}. Measured on validation images during training; final scores are of test images."
    return chart(title, drawn, alternative, caption, positions(curves, keys))


def _rank(record: RunRecord, keys: list[str], key: str, title: str) -> Chart | None:
    lines = record.curve(key)
    if len(lines) < 2:
        return None
    values = [line[key] for line in lines]
    line = _line(lines, values, title, keys[0], 2, "lines+markers", ".3g")
    drawn = figure([line], title, axis_title(keys[0]))
    drawn.update_yaxes(rangemode="tozero")
    alternative = (
        f"The {title} went from {values[0]:.3g} to {values[-1]:.3g}; "
        "near its minimum, the encoder has collapsed."
    )
    return chart(key, drawn, alternative, alternative, positions([lines], keys))


def _line(
    lines: Lines,
    values: list[float],
    name: str,
    key: str,
    number: int,
    mode: str,
    form: str,
) -> go.Scatter:
    return go.Scatter(
        x=[line[key] for line in lines],
        y=values,
        name=name,
        mode=mode,
        line={"color": colour(number), "width": 2},
        marker={"size": 7, "symbol": MARKERS[number % len(MARKERS)]},
        hovertemplate=f"%{{y:{form}}} at %{{x:,.0f}}<extra></extra>",
    )


def positions(curves: Sequence[Lines], keys: Sequence[str]) -> dict[str, list[list[float]]]:
    """For each axis the x values of every curve."""
    found = {}
    for key in keys:
        found[key] = [values_of(lines, key) for lines in curves]
    return found


def values_of(lines: Lines, key: str) -> list[float]:
    """What was logged under the key, line by line."""
    return [line[key] for line in lines]


def _reached(name: str, lines: Lines) -> str:
    last = lines[-1]
    cost = []
    if "images" in last:
        cost.append(f"{count(last['images'])} images")
    if "seconds" in last:
        cost.append(duration(last["seconds"]))
    return f"{sentence_case(score_name(name))} ended at {percent(last[name])} after {' and '.join(cost) or 'training'}"
