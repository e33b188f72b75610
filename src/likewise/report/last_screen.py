"""The last screen of a run: its scores, and where its results are."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from likewise.evaluation.statistics.scores import Score, ScoreDifference
from likewise.json_files import read_object
from likewise.report.record import ENCODERS
from likewise.report.start_comparison import start_warnings
from likewise.report.wording import is_main, is_over_classes
from likewise.run_folder import RunFolder


def last_screen(run: RunFolder) -> RenderableType:
    """The scores of the trained and the untrained encoder, the paths of the results, and the line that loads it."""
    parts: list[RenderableType] = []
    if run.scores.exists():
        scores = read_object(run.scores)
        parts += score_tables(scores)
        parts += [escape(note) for note in scores.get("notes", [])]
        differences = [ScoreDifference(**each) for each in scores.get("differences", [])]
        by_encoder = {}
        for who in ENCODERS:
            by_encoder[who] = [Score.from_json(each) for each in scores.get(who) or []]
        for warning in start_warnings(by_encoder, differences):
            parts.append(f"[yellow]{escape(warning)}[/yellow]")
    parts += [
        escape(f"encoder  {run.weights}"),
        escape(f"page     {run.report}"),
        escape(f'load it  likewise.load("{run.path}").encoder'),
    ]
    return Group("", *parts)


def score_tables(scores: dict[str, Any]) -> list[RenderableType]:
    """The trained encoder and its baselines with 95% intervals; means over classes and corrupted images apart."""
    tables: list[RenderableType] = []
    names = [score["name"] for score in scores.get("trained", [])]
    if main := [name for name in names if is_main(name)]:
        tables.append(_scores_table("score", main, scores))
    if over_classes := [name for name in names if is_over_classes(name)]:
        tables.append(_scores_table("mean over classes", over_classes, scores))
    if errors := scores.get("calibration", {}).get("trained"):
        tables.append(_calibration_table(list(errors), scores))
    if corruptions := scores.get("corruptions"):
        tables.append(_corruption_table(corruptions))
    return tables


def _encoders(scores: dict[str, Any]) -> list[str]:
    return [who for who in ENCODERS if scores.get(who)]


def _scores_table(title: str, names: list[str], scores: dict[str, Any]) -> Table:
    encoders = _encoders(scores)
    table = Table(title, *encoders)
    by_encoder: dict[str, dict[str, Score]] = {}
    for who in encoders:
        read = [Score.from_json(content) for content in scores[who]]
        by_encoder[who] = {score.name: score for score in read}
    for name in names:
        cells = [_cell(by_encoder[who].get(name)) for who in encoders]
        table.add_row(name + _setting(by_encoder["trained"][name]), *cells)
    return table


def _calibration_table(names: list[str], scores: dict[str, Any]) -> Table:
    """Expected calibration errors: 0 is perfect."""
    encoders = _encoders(scores)
    found = scores["calibration"]
    table = Table("calibration error (ECE)", *encoders)
    for name in names:
        errors = [found.get(who, {}).get(name) for who in encoders]
        cells = [_number(error["error"]) if error else "" for error in errors]
        table.add_row(name.removesuffix("_top1"), *cells)
    return table


def _corruption_table(found: dict[str, Any]) -> Table:
    """Accuracy of the trained encoder's probe by kind and severity; means over severities of the other classifiers."""
    trained = found["linear"]["trained"]
    others = _other_classifiers(found)
    table = _narrow_table("corrupted", *map(str, found["severities"]), "mean", *others)
    table.title = "Trained, linear probe, by severity; means of the others (own: own classifier)"
    readings = [trained, *others.values()]
    blank = [""] * len(found["severities"])
    table.add_row("(clean)", *blank, *[_number(reading["clean"]) for reading in readings])
    for at, kind in enumerate(found["kinds"]):
        means = [fmean(reading["accuracy"][at]) for reading in readings]
        table.add_row(kind, *_numbers(trained["accuracy"][at]), *_numbers(means))
    table.add_section()
    by_severity = [fmean(accuracies) for accuracies in zip(*trained["accuracy"], strict=True)]
    overall = [reading["corrupted"]["value"] for reading in readings]
    table.add_row("all", *_numbers(by_severity), *_numbers(overall))
    # The first is of clean images.
    errors = [fmean(reading["calibration_error"][1:]) for reading in readings]
    table.add_row("calibration", *_numbers(trained["calibration_error"][1:]), *_numbers(errors))
    return table


def _narrow_table(*headers: str) -> Table:
    """For many columns; the first is never wrapped."""
    table = Table(
        *headers, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    table.columns[0].no_wrap = True
    return table


def _other_classifiers(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The baselines' probes, and the method's own classifier."""
    others: dict[str, dict[str, Any]] = {}
    for who, reading in found["linear"].items():
        if who != "trained":
            others[who] = reading
    for reading in found.get("classifier", {}).values():
        others["own"] = reading
    return others


def _numbers(values: Sequence[float]) -> list[str]:
    return [_number(value) for value in values]


def _number(value: float) -> str:
    return f"{value:.3f}"


def _cell(score: Score | None) -> str:
    return f"{score.value:.3f} ({score.low:.3f} to {score.high:.3f})" if score else ""


def _setting(score: Score) -> str:
    if "temperature" in score.protocol and is_main(score.name):
        return f" (k {score.protocol['k']}, temperature {score.protocol['temperature']})"
    return ""
