"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from likewise.counts import amount, count
from likewise.report.comparison import Comparison
from likewise.report.pages.blocks import (
    Block,
    Cell,
    Note,
    ScoreRow,
    ScoreTable,
    Section,
    TableBlock,
    TableColumn,
    Text,
)
from likewise.report.pages.chart import (
    Charts,
    axes_named,
    axis_title,
    chart,
    colour,
    figure,
    line_style,
    plain,
)
from likewise.report.pages.curves import axes_of, positions, values_of
from likewise.report.pages.document import document, write_page
from likewise.report.pages.score_table import mark, protocol_in_words, score_cell
from likewise.report.pages.settings import differing
from likewise.report.wording import duration, label_budget, listed, percent, points, score_name

HOW = (
    "The speed-up is measured on the online curves: where each run first reaches the reference's last value, "
    "interpolated linearly between evaluations. It is one run each: another seed can change it."
)


def write_compare_page(comparison: Comparison, out: Path) -> Path:
    """Write the page.

    Raises:
        LikewiseError: ``out`` is a file that is not a page of likewise.
        EnvironmentIOError: the page cannot be written.
    """
    title = f"{listed(list(comparison.names[1:]))} compared with {comparison.names[0]}"
    lead = [Text(comparison.sentence, "verdict"), _notes(comparison)]
    sections = [
        Section("curves", "Training curves", _curves(comparison)),
        Section("scores", "Final scores", _scores(comparison)),
        Section("cost", "Cost", [_cost(comparison)]),
        Section("settings", "Settings that differ", [_settings(comparison)]),
    ]
    versions = {str(record.environment.get("likewise", "")) for record in comparison.records}
    versions = sorted(versions - {""})
    footer = (
        " ".join(["Written by likewise", *versions]) + ". The page is one file and fetches nothing."
    )
    return write_page(out, document(title, lead, sections, footer))


def _notes(comparison: Comparison) -> Note | None:
    missing: dict[str, list[str]] = {}
    for record, name in zip(comparison.records, comparison.names, strict=True):
        for sentence in record.missing:
            if not sentence.startswith("gallery"):
                missing.setdefault(sentence, []).append(name)
    lines = [f"These scores are not comparable: {reason}." for reason in comparison.incomparable]
    lines += comparison.notes
    lines += [f"{listed(names)}: {sentence}" for sentence, names in missing.items()]
    return Note(lines) if lines else None


def _curves(comparison: Comparison) -> list[Block]:
    score = comparison.score
    if score is None:
        return [Text(comparison.sentence)]
    names = comparison.names
    curves = [record.curve(score) for record in comparison.records]
    keys = axes_of(list(chain.from_iterable(curves)))
    if not keys:
        return [Text("The logs do not say when the accuracies were measured.")]
    traces = []
    ends = []
    for number, (name, lines) in enumerate(zip(names, curves, strict=True)):
        traces.append(_trace(name, number, lines, score, keys[0]))
        ends.append(f"{name} {percent(lines[-1][score])}")
    drawn = figure(traces, "accuracy", axis_title(keys[0]))
    drawn.update_yaxes(tickformat=".1~%").update_layout(showlegend=True)
    reference = curves[0][-1][score]
    drawn.add_hline(reference, line={"color": colour(0), "dash": "dot", "width": 1})
    alternative = f"Online accuracy by {score_name(score)}; at the end {', '.join(ends)}."
    caption = f"{alternative} The dotted line is where {names[0]} ended. {HOW}"
    of_axes = positions(curves, keys)
    accuracy = chart("accuracy", drawn, alternative, caption, of_axes, height=420)
    return [Charts("compare-axis", axes_named(keys), [accuracy])]


def _trace(
    name: str,
    number: int,
    lines: list[dict[str, Any]],
    score: str,
    key: str,
) -> go.Scatter:
    return go.Scatter(
        x=values_of(lines, key),
        y=values_of(lines, score),
        name=plain(name),
        mode="lines+markers",
        hovertemplate="%{y:.1%} at %{x:,.0f}<extra>%{fullData.name}</extra>",
        **line_style(number),
    )


def _scores(comparison: Comparison) -> list[Block]:
    if not comparison.score_names:
        return [Text("None of the runs has final scores. Score each with likewise evaluate.")]
    columns = [TableColumn(f"run r{number}", name) for number, name in enumerate(comparison.names)]
    rows = [_score_row(comparison, columns, score) for score in comparison.score_names]
    caption = (
        "Scores on test images, with 95% intervals and the difference from an untrained encoder."
    )
    summary = f"How each was measured ({comparison.names[0]})"
    return [_paints(len(columns)), ScoreTable(caption, columns, rows, summary=summary)]


def _score_row(comparison: Comparison, columns: Sequence[TableColumn], score: str) -> ScoreRow:
    """One score of every run, with the protocol of the first that has it."""
    cells: list[Cell | str] = []
    marks = []
    protocol = ""
    for record, column in zip(comparison.records, columns, strict=True):
        measured = record.score("trained", score)
        untrained = record.score("untrained", score)
        cell = score_cell(measured)
        if isinstance(cell, Cell) and measured and untrained:
            cell = cell._replace(note=points(measured.value - untrained.value))
        cells.append(cell)
        if measured:
            marks.append(mark(column.css, column.name, measured))
            protocol = protocol or protocol_in_words(measured.protocol)
    return ScoreRow(score_name(score), cells, marks, protocol)


def _paints(runs: int) -> Markup:
    """Each run's colour under a class of its own, the same as its line's."""
    rules = [f".r{number}{{--paint:{colour(number)}}}" for number in range(runs)]
    return Markup("<style>{}</style>").format(Markup("".join(rules)))


def _cost(comparison: Comparison) -> TableBlock:
    rows = []
    for record, name in zip(comparison.records, comparison.names, strict=True):
        images = record.total("images")
        steps = record.total("step")
        seconds = record.environment.get("seconds") or record.total("seconds")
        labels = label_budget(record.config.get("labels", "unknown"))
        if record.visible_labels is not None:
            labels += f" ({count(record.visible_labels)})"
        amounts = [count(images) if images else "–", count(steps) if steps else "–"]
        time = duration(seconds) if seconds else "–"
        machine = str(record.environment.get("machine", "–"))
        rows.append([name, record.method, labels, *amounts, time, machine])
    head = ["run", "method", "visible labels", "images seen", "steps", "training time", "machine"]
    return TableBlock("Images seen count every view that passed through the encoder.", head, rows)


def _settings(comparison: Comparison) -> TableBlock | Text:
    found = differing([record.config for record in comparison.records])
    rows = [[name, *values] for name, values in found.items()]
    if not rows:
        return Text("None: the runs have the same settings.")
    caption = f"{amount(len(rows), 'setting')} of config.json; all others are the same."
    return TableBlock(caption, ["setting", *comparison.names], rows, "plain-settings")
