"""How accuracy falls on corrupted images: by severity as a chart, by kind as a table."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import plotly.graph_objects as go

from likewise.report.pages.chart import DASHES, MARKERS, chart, colour, figure
from likewise.report.pages.markup import Child, element, table
from likewise.report.record import ENCODERS, RunRecord
from likewise.report.wording import amount, interval, percent

EXPLAINED = (
    "The classifiers learned from clean images. The kinds and their strengths are those of ImageNet-C and CIFAR-10-C "
    "(Hendrycks and Dietterich 2019), the images are made by likewise: these figures may be compared with each other, "
    "not with published ones."
)


def corruption_section(record: RunRecord) -> list[Child]:
    """The body of the section; empty where nothing was measured."""
    found = record.more_scores.get("corruptions")
    if not found:
        return []
    readers = _readers(found)
    said = "; ".join(
        f"{name} from {percent(each['clean'])} on clean images to {percent(_column(each, -1))}"
        for name, each in readers.items()
    )
    caption = f"Mean over {len(found['kinds'])} kinds; severity 0 is the clean image."
    return [
        chart("accuracy-by-severity", _curves(found, readers, "accuracy"), f"Accuracy by severity: {said}", caption),
        _summary(readers),
        _by_kind(found, readers),
        chart(
            "corrupted-calibration",
            _curves(found, readers, "calibration_error"),
            "Expected calibration error by severity.",
            "Expected calibration error by severity, all kinds together.",
            height=280,
        ),
        element("p", f"{amount(found['images'], 'test image')}. {EXPLAINED}", class_="soft"),
    ]


def _readers(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By classifier and encoder, in words."""
    words = {"linear": "linear probe", "classifier": "own classifier"}
    return {
        f"{words[reader]}, {ENCODERS[who]}": found[reader][who]
        for reader in words
        for who in ENCODERS
        if who in found.get(reader, {})
    }


def _column(reader: dict[str, Any], severity: int) -> float:
    return fmean(row[severity] for row in reader["accuracy"])


def _curves(found: dict[str, Any], readers: dict[str, dict[str, Any]], what: str) -> go.Figure:
    severities = found["severities"]
    traces = []
    for place, (name, each) in enumerate(readers.items()):
        accuracy = [each["clean"], *[_column(each, at) for at in range(len(severities))]]
        values = accuracy if what == "accuracy" else each["calibration_error"]
        line = {"color": colour(place), "width": 2.5, "dash": DASHES[place % len(DASHES)]}
        marker = {"size": 8, "symbol": MARKERS[place % len(MARKERS)]}
        drawn = {"name": name, "mode": "lines+markers", "line": line, "marker": marker, "hovertemplate": "%{y:.1%}"}
        traces.append(go.Scatter(x=[0, *severities], y=values, **drawn))
    drawn = figure(traces, what.replace("_", " "), "severity", showlegend=True, hovermode="x unified")
    drawn.update_xaxes(tickvals=[0, *severities])
    return drawn.update_yaxes(tickformat=".0%", rangemode="tozero")


def _summary(readers: dict[str, dict[str, Any]]) -> Child:
    rows: list[list[Child]] = []
    for name, each in readers.items():
        mean = each["corrupted"]
        value = [element("span", percent(mean["value"]), class_="value"),
                 element("small", interval(mean["low"], mean["high"]), class_="interval")]  # fmt: skip
        rows.append([name, percent(each["clean"]), value])
    return table("Accuracy, over all kinds and severities.", ["classifier", "clean", "corrupted"], rows, "scores")


def _by_kind(found: dict[str, Any], readers: dict[str, dict[str, Any]]) -> Child:
    """Severities of the first reader one by one, of the others the mean alone."""
    first, *others = readers.items()
    head = ["kind", *[f"severity {at}" for at in found["severities"]], "mean", *[f"mean, {name}" for name, _ in others]]
    rows: list[list[Child]] = []
    for at, kind in enumerate(found["kinds"]):
        row = first[1]["accuracy"][at]
        beside = [percent(fmean(each["accuracy"][at])) for _, each in others]
        rows.append([kind.replace("_", " "), *map(percent, row), percent(fmean(row)), *beside])
    return table(f"By kind of corruption: {first[0]}.", head, rows)
