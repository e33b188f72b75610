"""Whether classifiers are right as often as they say they are: the reliability diagram."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from likewise.evaluation.metrics.calibration import Calibration
from likewise.report.pages.chart import DASHES, GREY, MARKERS, chart, colour, figure, plain
from likewise.report.pages.markup import Child, element, table
from likewise.report.record import ENCODERS, RunRecord
from likewise.report.wording import count, percent, score_name


def calibration_section(record: RunRecord) -> list[Child]:
    """The body of the section; empty where nothing was measured."""
    found = _named(record)
    if not found:
        return []
    rows: list[list[Child]] = [
        [name, percent(each.error), percent(_mean(each, each.confidence)), percent(_mean(each, each.accuracy)),
         count(sum(each.answers))]
        for name, each in found.items()
    ]  # fmt: skip
    said = "; ".join(f"{name}: error {percent(each.error)}" for name, each in found.items())
    caption = (
        "A dot is a bin of answers, its area their number. Below the diagonal a classifier is surer than it is right."
    )
    head = ["classifier", "expected calibration error", "mean confidence", "accuracy", "test images"]
    r2_score = (
        "The error is the mean distance of confidence and accuracy over 15 bins of equal width (Guo et al. 2017); "
        "chance alone keeps it above 0."
    )
    return [
        chart("reliability", _diagram(found), f"Accuracy against confidence. {said}", caption, height=420),
        table("How far confidence and accuracy lie apart.", head, rows),
        element("p", r2_score, class_="soft"),
    ]


def _named(record: RunRecord) -> dict[str, Calibration]:
    """By classifier and encoder, in words."""
    found: dict[str, dict[str, Any]] = record.more_scores.get("calibration") or {}
    return {
        f"{score_name(name)}, {ENCODERS[who]}": Calibration.from_json(content)
        for who in ENCODERS
        for name, content in found.get(who, {}).items()
    }


def _mean(found: Calibration, values: list[float]) -> float:
    return sum(n * value for n, value in zip(found.answers, values, strict=True)) / max(sum(found.answers), 1)


def _diagram(found: dict[str, Calibration]) -> go.Figure:
    even = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": GREY, "dash": "dot", "width": 1.5}, showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    lines = [_line(name, each, place) for place, (name, each) in enumerate(found.items())]
    drawn = figure([even, *lines], "share that was right", "confidence", showlegend=True)
    drawn.update_xaxes(range=[0, 1.02], tickformat=".0%")
    return drawn.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")


def _line(name: str, found: Calibration, place: int) -> go.Scatter:
    bins = [at for at, number in enumerate(found.answers) if number]
    most = max(found.answers)
    return go.Scatter(
        x=[found.confidence[at] for at in bins], y=[found.accuracy[at] for at in bins],
        customdata=[found.answers[at] for at in bins], name=plain(name), mode="lines+markers",
        line={"color": colour(place), "width": 1.5, "dash": DASHES[place % len(DASHES)]},
        marker={"size": [5 + 13 * (found.answers[at] / most) ** 0.5 for at in bins],
                "symbol": MARKERS[place % len(MARKERS)]},
        hovertemplate="%{y:.1%} right at %{x:.1%}, %{customdata:,} images",
    )  # fmt: skip
