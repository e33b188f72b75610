"""What labels buy: accuracy against labels shown, one line for each way of learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import plotly.graph_objects as go

from likewise.report.pages.chart import DASHES, MARKERS, chart, colour, figure, plain
from likewise.report.pages.document import Section, document, write_page
from likewise.report.pages.markup import Child, Markup, element, table
from likewise.report.wording import duration, interval, percent


class LabelPoint(NamedTuple):
    """An accuracy that was reached with a number of labels."""

    labels_per_class: int | None
    """labels shown per class; None means all there are"""
    value: float
    """mean over seeds or draws, in [0, 1]"""
    low: float
    high: float
    """ends of the interval over seeds or draws"""
    seconds: float
    """what the point took, training and evaluation"""


def write_label_curve_page(
    arms: Mapping[str, Sequence[LabelPoint]],
    sentence: str,
    out: Path,
    title: str = "What do labels buy?",
    all_labels: int | None = None,
    facts: Sequence[str] = (),
    intervals: str = "Intervals are over seeds.",
    commands: Sequence[tuple[str, str]] = (),
    footer: str = "Written by likewise. The page is one file and fetches nothing.",
) -> Path:
    """Write the page of a label curve.

    Args:
        arms: for each way of learning its points; a way with a single point is drawn as a level to compare with.
        sentence: what was found.
        out: the page.
        title: the page's heading.
        all_labels: labels per class when all are shown; gives that point its true place on the axis.
        facts: how it was measured: data, seeds, protocol, machine; a sentence each.
        intervals: what the intervals are taken over.
        commands: pairs of what to do next and what to type for it.
        footer: the last line.

    Raises:
        LikewiseError: something else than a page of ours lies there.
        EnvironmentIOError: the page cannot be written.
    """
    arms = {name: sorted(points, key=lambda point: _rank(point.labels_per_class)) for name, points in arms.items()}
    picture = label_curve(arms, all_labels, intervals)
    how = element("ul", [element("li", fact) for fact in facts]) if facts else None
    sections = [
        Section("picture", "Accuracy against labels shown", [picture]),
        Section("numbers", "The numbers", [_numbers(arms, all_labels, intervals), _times(arms)]),
        *([Section("how", "How it was measured", [how])] if facts else []),
        *([Section("next", "What to type next", _commands(commands))] if commands else []),
    ]
    return write_page(out, document(title, [element("p", sentence, class_="verdict")], sections, footer))


def label_curve(arms: Mapping[str, Sequence[LabelPoint]], all_labels: int | None, intervals: str) -> Markup:
    """The picture: labels per class on a logarithmic axis, accuracy with its interval."""
    budgets = _budgets(arms)
    full = _place_of_all(budgets, all_labels)
    place = {budget: full if budget is None else budget for budget in budgets}
    traces: list[go.Scatter] = []
    for number, (name, points) in enumerate(arms.items()):
        traces += _arm(name, points, number, place)
    drawn = figure(traces, "accuracy on test images", "labels shown per class (logarithmic)")
    drawn.update_layout(showlegend=True, hovermode="x unified")
    ticks = [_budget(budget, all_labels) for budget in budgets]
    drawn.update_xaxes(type="log", tickvals=[place[budget] for budget in budgets], ticktext=ticks, minor={"ticks": ""})
    drawn.update_yaxes(tickformat=".1~%")
    ends = [
        f"{name} from {percent(points[0].value)} to {percent(points[-1].value)}"
        for name, points in arms.items()
        if points
    ]
    return chart(
        "label-curve", drawn, "Accuracy against labels shown per class: " + "; ".join(ends), intervals, height=480
    )


def _arm(name: str, points: Sequence[LabelPoint], number: int, place: Mapping[int | None, float]) -> list[go.Scatter]:
    """A line with intervals; for a single point also the level that it stands for."""
    paint, title = colour(number), plain(name)
    drawn = go.Scatter(
        x=[place[point.labels_per_class] for point in points],
        y=[point.value for point in points],
        error_y={
            "type": "data", "symmetric": False, "thickness": 1.5, "width": 5,
            "array": [point.high - point.value for point in points],
            "arrayminus": [point.value - point.low for point in points],
        },
        name=title, legendgroup=title, mode="lines+markers",
        line={"color": paint, "width": 2.5, "dash": DASHES[number % len(DASHES)]},
        marker={"size": 9, "symbol": MARKERS[number % len(MARKERS)]},
        hovertemplate="%{y:.1%}",
    )  # fmt: skip
    if len(points) != 1 or len(place) == 1:
        return [drawn]
    level = go.Scatter(
        x=[min(place.values()), max(place.values())], y=[points[0].value] * 2, mode="lines", legendgroup=title,
        line={"color": paint, "width": 1.5, "dash": "dot"}, showlegend=False, hoverinfo="skip",
    )  # fmt: skip
    return [level, drawn]


def _numbers(arms: Mapping[str, Sequence[LabelPoint]], all_labels: int | None, intervals: str) -> Markup:
    budgets = _budgets(arms)
    rows: list[list[Child]] = []
    for name, points in arms.items():
        by_budget = {point.labels_per_class: point for point in points}
        rows.append([name, *[_cell(by_budget.get(budget)) for budget in budgets]])
    head = ["labels per class", *[_budget(budget, all_labels) for budget in budgets]]
    return table(f"Accuracy on test images. {intervals}", head, rows, "scores")


def _times(arms: Mapping[str, Sequence[LabelPoint]]) -> Markup:
    rows = [[name, duration(sum(point.seconds for point in points))] for name, points in arms.items()]
    return table("Time of each way, all its points together.", ["way of learning", "time"], rows)


def _cell(point: LabelPoint | None) -> Child:
    if point is None:
        return "–"
    return [element("span", percent(point.value), class_="value"),
            element("small", interval(point.low, point.high), class_="interval")]  # fmt: skip


def _commands(commands: Sequence[tuple[str, str]]) -> list[Child]:
    return [[element("p", purpose), element("pre", element("code", line))] for purpose, line in commands]


def _budgets(arms: Mapping[str, Sequence[LabelPoint]]) -> list[int | None]:
    return sorted({point.labels_per_class for points in arms.values() for point in points}, key=_rank)


def _rank(budget: int | None) -> float:
    return float("inf") if budget is None else budget


def _place_of_all(budgets: Sequence[int | None], all_labels: int | None) -> float:
    """Where "all" stands: at its number, else four times further than the largest budget."""
    return all_labels or 4 * max((budget for budget in budgets if budget is not None), default=1)


def _budget(budget: int | None, all_labels: int | None) -> str:
    if budget is None:
        return f"all ({all_labels:,})" if all_labels else "all"
    return f"{budget:,}"
