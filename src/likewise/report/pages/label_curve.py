"""Label curves: accuracy against visible labels, one line for each way of learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go

from likewise.report.pages.blocks import Block, Cell, Commands, ListBlock, Section, TableBlock, Text
from likewise.report.pages.chart import Chart, chart, colour, error_bars, figure, line_style, plain
from likewise.report.pages.document import document, write_page
from likewise.report.wording import duration, interval, percent


class LabelPoint(NamedTuple):
    """An accuracy that was reached with a number of labels."""

    labels_per_class: int | None
    """visible labels per class; None means all there are"""
    value: float
    """mean over seeds or samples of the labels, in [0, 1]"""
    low: float
    high: float
    """ends of the interval over seeds or samples of the labels"""
    seconds: float
    """what the point took, training and evaluation"""


def write_label_curve_page(
    arms: Mapping[str, Sequence[LabelPoint]],
    sentence: str,
    out: Path,
    all_labels: int | None = None,
    facts: Sequence[str] = (),
    intervals: str = "Intervals are over seeds.",
    commands: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write the page of a label curve.

    Args:
        arms: for each way of learning its points; a way with a single point is drawn as a level to compare with.
        sentence: what was found.
        out: the page.
        all_labels: labels per class when all are visible; gives that point its true position on the axis.
        facts: how it was measured: data, seeds, protocol, machine; a sentence each.
        intervals: what the intervals are over.
        commands: pairs of what to do next and what to type for it.

    Raises:
        LikewiseError: ``out`` is a file that is not a page of likewise.
        EnvironmentIOError: the page cannot be written.
    """
    arms = {name: sorted(points, key=_rank_of) for name, points in arms.items()}
    numbers: list[Block] = [_numbers(arms, all_labels, intervals), _times(arms)]
    picture = label_curve(arms, all_labels, intervals)
    sections = [
        Section("picture", "Accuracy against visible labels", [picture]),
        Section("numbers", "Numbers", numbers),
    ]
    if facts:
        sections.append(Section("how", "How it was measured", [ListBlock(facts)]))
    if commands:
        sections.append(Section("next", "Next steps", [Commands(commands)]))
    return write_page(out, document("What do labels buy?", [Text(sentence, "verdict")], sections))


def label_curve(
    arms: Mapping[str, Sequence[LabelPoint]], all_labels: int | None, intervals: str
) -> Chart:
    """The picture: labels per class on a logarithmic axis, accuracy with its interval."""
    budgets = _budgets(arms)
    full = _position_of_all(budgets, all_labels)
    position = {budget: full if budget is None else budget for budget in budgets}
    traces: list[go.Scatter] = []
    for number, (name, points) in enumerate(arms.items()):
        traces += _arm(name, points, number, position)
    drawn = figure(traces, "accuracy on test images", "visible labels per class (logarithmic)")
    drawn.update_layout(showlegend=True, hovermode="x unified")
    ticks = [_budget(budget, all_labels) for budget in budgets]
    drawn.update_xaxes(
        type="log",
        tickvals=[position[budget] for budget in budgets],
        ticktext=ticks,
        minor={"ticks": ""},
    )
    drawn.update_yaxes(tickformat=".1~%")
    return chart("label-curve", drawn, _in_words(arms), intervals, height=480)


def _in_words(arms: Mapping[str, Sequence[LabelPoint]]) -> str:
    """What the picture shows, for those who cannot see it."""
    ends = []
    for name, points in arms.items():
        if points:
            ends.append(f"{name} from {percent(points[0].value)} to {percent(points[-1].value)}")
    return "Accuracy against visible labels per class: " + "; ".join(ends)


def _arm(
    name: str, points: Sequence[LabelPoint], number: int, position: Mapping[int | None, float]
) -> list[go.Scatter]:
    """A line with intervals; for a single point also a line at its level."""
    values = [point.value for point in points]
    lows = [point.low for point in points]
    highs = [point.high for point in points]
    drawn = go.Scatter(
        x=[position[point.labels_per_class] for point in points],
        y=values,
        error_y=error_bars(values, lows, highs),
        name=plain(name),
        legendgroup=plain(name),
        mode="lines+markers",
        hovertemplate="%{y:.1%}",
        **line_style(number, width=2.5, size=9),
    )
    if len(points) != 1 or len(position) == 1:
        return [drawn]
    ends = [min(position.values()), max(position.values())]
    return [_level(name, values[0], ends, colour(number)), drawn]


def _level(name: str, value: float, ends: list[float], paint: str) -> go.Scatter:
    """A dotted line at one value, with the legend's entry of its point."""
    return go.Scatter(
        x=ends,
        y=[value, value],
        mode="lines",
        legendgroup=plain(name),
        line={"color": paint, "width": 1.5, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
    )


def _numbers(
    arms: Mapping[str, Sequence[LabelPoint]], all_labels: int | None, intervals: str
) -> TableBlock:
    budgets = _budgets(arms)
    rows = []
    for name, points in arms.items():
        by_budget = {point.labels_per_class: point for point in points}
        rows.append([name, *[_cell(by_budget.get(budget)) for budget in budgets]])
    head = ["labels per class", *[_budget(budget, all_labels) for budget in budgets]]
    return TableBlock(f"Accuracy on test images. {intervals}", head, rows, "scores")


def _times(arms: Mapping[str, Sequence[LabelPoint]]) -> TableBlock:
    rows = []
    for name, points in arms.items():
        seconds = sum(point.seconds for point in points)
        rows.append([name, duration(seconds)])
    return TableBlock(
        "Time of each way of learning, all its points together.", ["way of learning", "time"], rows
    )


def _cell(point: LabelPoint | None) -> Cell | str:
    return Cell(percent(point.value), interval(point.low, point.high)) if point else "–"


def _budgets(arms: Mapping[str, Sequence[LabelPoint]]) -> list[int | None]:
    budgets: set[int | None] = set()
    for points in arms.values():
        budgets |= {point.labels_per_class for point in points}
    return sorted(budgets, key=_rank)


def _rank_of(point: LabelPoint) -> float:
    return _rank(point.labels_per_class)


def _rank(budget: int | None) -> float:
    return float("inf") if budget is None else budget


def _position_of_all(budgets: Sequence[int | None], all_labels: int | None) -> float:
    """Where "all" is on the axis: at its number, else four times further than the largest budget."""
    numbers = [budget for budget in budgets if budget is not None]
    return all_labels or 4 * max(numbers, default=1)


def _budget(budget: int | None, all_labels: int | None) -> str:
    if budget is None:
        return f"all ({all_labels:,})" if all_labels else "all"
    return f"{budget:,}"
