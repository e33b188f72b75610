"""How well classifiers are calibrated: the reliability diagram."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from likewise.counts import count
from likewise.evaluation.metrics.calibration import Calibration
from likewise.report.pages.blocks import Block, TableBlock, Text
from likewise.report.pages.chart import GREY, chart, figure, line_style, plain
from likewise.report.record import ENCODERS, RunRecord
from likewise.report.wording import percent, score_name

EXPLANATION = (
    "The error is the mean absolute difference of confidence and accuracy over 15 bins of equal width (Guo et al. "
    "2017). It is biased upwards: chance alone keeps it above 0."
)


def calibration_section(record: RunRecord) -> list[Block]:
    """The body of the section; empty where nothing was measured."""
    found = _named(record)
    if not found:
        return []
    errors = "; ".join(f"{name}: error {percent(each.error)}" for name, each in found.items())
    caption = "A dot is a bin of predictions, its area their number. Below the diagonal a classifier is overconfident."
    alternative = f"Accuracy against confidence. {errors}"
    drawn = chart("reliability", _diagram(found), alternative, caption, height=420)
    return [drawn, _table(found), Text(EXPLANATION)]


def _table(found: dict[str, Calibration]) -> TableBlock:
    rows = []
    for name, each in found.items():
        confidence = _mean(each, each.confidence)
        accuracy = _mean(each, each.accuracy)
        images = count(sum(each.counts))
        rows.append([name, percent(each.error), percent(confidence), percent(accuracy), images])
    error = "expected calibration error"
    head = ["classifier", error, "mean confidence", "accuracy", "test images"]
    return TableBlock("Calibration error, confidence and accuracy.", head, rows)


def _named(record: RunRecord) -> dict[str, Calibration]:
    """By classifier and encoder, in words."""
    by_encoder: dict[str, dict[str, Any]] = record.more_scores.get("calibration") or {}
    found = {}
    for who, encoder in ENCODERS.items():
        for name, content in by_encoder.get(who, {}).items():
            found[f"{score_name(name)}, {encoder}"] = Calibration.from_json(content)
    return found


def _mean(found: Calibration, values: list[float]) -> float:
    total = sum(count * value for count, value in zip(found.counts, values, strict=True))
    return total / max(sum(found.counts), 1)


def _diagram(found: dict[str, Calibration]) -> go.Figure:
    diagonal = go.Scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GREY, "dash": "dot", "width": 1.5},
        showlegend=False,
        hoverinfo="skip",
    )
    lines = [_line(name, each, number) for number, (name, each) in enumerate(found.items())]
    drawn = figure([diagonal, *lines], "accuracy", "confidence", showlegend=True)
    # Classifiers have long names: below the axis they cannot run into the toolbar.
    drawn.update_layout(legend={"y": -0.2, "yanchor": "top"})
    drawn.update_xaxes(range=[0, 1.02], tickformat=".0%")
    return drawn.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")


def _line(name: str, found: Calibration, number: int) -> go.Scatter:
    bins = [index for index, answers in enumerate(found.counts) if answers]
    largest = max(found.counts)
    style = line_style(number, width=1.5)
    # A marker's area, not its width, is to the number of predictions in its bin.
    shares = [found.counts[index] / largest for index in bins]
    style["marker"]["size"] = [5 + 13 * share**0.5 for share in shares]
    return go.Scatter(
        x=[found.confidence[index] for index in bins],
        y=[found.accuracy[index] for index in bins],
        customdata=[found.counts[index] for index in bins],
        name=plain(name),
        mode="lines+markers",
        hovertemplate="%{y:.1%} correct at %{x:.1%}, %{customdata:,} images",
        **style,
    )
