"""How accuracy falls on corrupted images: by severity as a chart, by kind as a table."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from likewise.counts import amount
from likewise.report.pages.blocks import Block, Cell, TableBlock, Text
from likewise.report.pages.chart import chart, figure, line_style
from likewise.report.record import ENCODERS, RunRecord
from likewise.report.wording import interval, percent

EXPLANATION = (
    "The classifiers learned from clean images. The kinds and their strengths are those of ImageNet-C and CIFAR-10-C "
    "(Hendrycks and Dietterich 2019), the images are made by likewise: these figures may be compared with each other, "
    "not with published ones."
)
CLASSIFIERS = {"linear": "linear probe", "classifier": "own classifier"}

Readings = dict[str, dict[str, Any]]
"""By classifier and encoder in words: accuracies and calibration as ``scores.json`` has them"""


def corruption_section(record: RunRecord) -> list[Block]:
    """The body of the section; empty where nothing was measured."""
    found = record.more_scores.get("corruptions")
    if not found:
        return []
    readings = _readings(found)
    falls = []
    for name, each in readings.items():
        strongest = percent(_at_severity(each, -1))
        falls.append(f"{name} from {percent(each['clean'])} on clean images to {strongest}")
    accuracy = chart(
        "accuracy-by-severity",
        _curves(found, readings, "accuracy"),
        f"Accuracy by severity: {'; '.join(falls)}",
        f"Mean over {amount(len(found['kinds']), 'kind')}; severity 0 is the clean image.",
    )
    calibration = chart(
        "corrupted-calibration",
        _curves(found, readings, "calibration_error"),
        "Expected calibration error by severity.",
        "Expected calibration error by severity, all kinds together.",
        height=280,
    )
    note = Text(f"{amount(found['images'], 'test image')}. {EXPLANATION}")
    return [accuracy, _summary(readings), _by_kind(found, readings), calibration, note]


def _readings(found: dict[str, Any]) -> Readings:
    readings = {}
    for classifier, name in CLASSIFIERS.items():
        for who, encoder in ENCODERS.items():
            if who in found.get(classifier, {}):
                readings[f"{name}, {encoder}"] = found[classifier][who]
    return readings


def _at_severity(reading: dict[str, Any], index: int) -> float:
    """Mean accuracy over kinds at one severity."""
    return fmean(row[index] for row in reading["accuracy"])


def _accuracies(reading: dict[str, Any], severities: Sequence[int]) -> list[float]:
    """On clean images, then by severity."""
    return [reading["clean"], *[_at_severity(reading, at) for at in range(len(severities))]]


def _curves(found: dict[str, Any], readings: Readings, what: str) -> go.Figure:
    severities = found["severities"]
    traces = []
    for number, (name, each) in enumerate(readings.items()):
        values = _accuracies(each, severities) if what == "accuracy" else each[what]
        trace = go.Scatter(
            x=[0, *severities],
            y=values,
            name=name,
            mode="lines+markers",
            hovertemplate="%{y:.1%}",
            **line_style(number, width=2.5, size=8),
        )
        traces.append(trace)
    drawn = figure(traces, what.replace("_", " "), "severity")
    drawn.update_layout(showlegend=True, hovermode="x unified")
    drawn.update_xaxes(tickvals=[0, *severities])
    return drawn.update_yaxes(tickformat=".0%", rangemode="tozero")


def _summary(readings: Readings) -> TableBlock:
    rows = []
    for name, each in readings.items():
        mean = each["corrupted"]
        corrupted = Cell(percent(mean["value"]), interval(mean["low"], mean["high"]))
        rows.append([name, percent(each["clean"]), corrupted])
    return TableBlock(
        "Accuracy, over all kinds and severities.",
        ["classifier", "clean", "corrupted"],
        rows,
        "scores",
    )


def _by_kind(found: dict[str, Any], readings: Readings) -> TableBlock:
    """Of the first classifier every severity, of the others the mean alone."""
    (name, first), *others = readings.items()
    severities = [f"severity {severity}" for severity in found["severities"]]
    head = ["kind", *severities, "mean", *[f"mean, {other}" for other, _ in others]]
    rows = []
    for at, kind in enumerate(found["kinds"]):
        accuracies = first["accuracy"][at]
        means = [fmean(accuracies), *(fmean(each["accuracy"][at]) for _, each in others)]
        rows.append([kind.replace("_", " "), *map(percent, [*accuracies, *means])])
    return TableBlock(f"By kind of corruption: {name}.", head, rows)
