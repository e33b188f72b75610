"""The page of a comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from likewise.report.comparison import Comparison
from likewise.report.pages.chart import DASHES, MARKERS, axis_choice, axis_title, chart, colour, figure, plain
from likewise.report.pages.curves import axes_of
from likewise.report.pages.document import Section, document, write_page
from likewise.report.pages.markup import Child, Markup, element, table
from likewise.report.pages.score_table import protocol_in_words, score_cell, strip
from likewise.report.pages.settings import differing
from likewise.report.wording import amount, count, duration, label_budget, listed, percent, points, score_name

HOW = (
    "The speed-up is read off the online curves: both runs are measured where they first reach the reference's last "
    "value, on straight lines between measurements. One run each: another seed can move it."
)


def write_compare_page(comparison: Comparison, out: Path) -> Path:
    """Write the page.

    Raises:
        LikewiseError: something else than a page of ours lies there.
        EnvironmentIOError: the page cannot be written.
    """
    title = f"{listed(list(comparison.names[1:]))} beside {comparison.names[0]}"
    lead = [element("p", comparison.sentence, class_="verdict"), _notes(comparison)]
    sections = [
        Section("curves", "Who got there sooner", _curves(comparison)),
        Section("scores", "Final scores", _scores(comparison)),
        Section("cost", "What each run took", [_cost(comparison)]),
        Section("settings", "Settings that differ", [_settings(comparison)]),
    ]
    versions = sorted({str(record.environment.get("likewise", "")) for record in comparison.records} - {""})
    footer = " ".join(["Written by likewise", *versions]) + ". The page is one file and fetches nothing."
    return write_page(out, document(title, lead, sections, footer))


def _notes(comparison: Comparison) -> Markup | None:
    missing: dict[str, list[str]] = {}
    for record, name in zip(comparison.records, comparison.names, strict=True):
        for each in record.missing:
            missing.setdefault(each, []).append(name)
    alike = [f"These scores are not comparable: {each}." for each in comparison.unlike]
    absent = [f"{listed(names)}: {each}" for each, names in missing.items() if not each.startswith("gallery")]
    items = [element("li", each) for each in (*alike, *comparison.notes, *absent)]
    return element("div", element("ul", items), class_="note", role="note") if items else None


def _curves(comparison: Comparison) -> list[Child]:
    score = comparison.score
    if score is None:
        return [element("p", comparison.sentence, class_="soft")]
    lines = [record.curve(score) for record in comparison.records]
    keys = axes_of([line for each in lines for line in each])
    if not keys:
        return [element("p", "The logs do not say when the accuracies were measured.", class_="soft")]
    target = lines[0][-1][score]
    traces = [_trace(comparison.names[place], place, each, score, keys[0]) for place, each in enumerate(lines)]
    drawn = figure(traces, "accuracy", axis_title(keys[0]))
    drawn.update_yaxes(tickformat=".1~%").update_layout(showlegend=True)
    drawn.add_hline(target, line={"color": colour(0), "dash": "dot", "width": 1})
    ends = [f"{name} {percent(each[-1][score])}" for name, each in zip(comparison.names, lines, strict=True)]
    said = f"Online accuracy by {score_name(score)}; at the end {', '.join(ends)}."
    caption = f"{said} The dotted line is where {comparison.names[0]} ended. {HOW}"
    positions = {key: [[line[key] for line in each] for each in lines] for key in keys}
    return [axis_choice("compare-axis", keys), chart("accuracy", drawn, said, caption, positions, height=420)]


def _trace(name: str, place: int, lines: list[dict[str, Any]], score: str, key: str) -> go.Scatter:
    return go.Scatter(
        x=[line[key] for line in lines],
        y=[line[score] for line in lines],
        name=plain(name),
        mode="lines+markers",
        line={"color": colour(place), "width": 2, "dash": DASHES[place % len(DASHES)]},
        marker={"size": 7, "symbol": MARKERS[place % len(MARKERS)]},
        hovertemplate="%{y:.1%} at %{x:,.0f}<extra>%{fullData.name}</extra>",
    )


def _scores(comparison: Comparison) -> list[Child]:
    if not comparison.score_names:
        return [element("p", "None of the runs has final scores. Score each with likewise evaluate.", class_="soft")]
    rows, measured = [], []
    for name in comparison.score_names:
        scores = [record.score("trained", name) for record in comparison.records]
        found = [(f"run r{place}", comparison.names[place], each) for place, each in enumerate(scores) if each]
        rows.append([score_name(name), *[_cell(comparison, place, name) for place in range(len(scores))], strip(found)])
        first = found[0][2]
        measured.append([element("dt", score_name(name)), element("dd", protocol_in_words(first.protocol))])
    head: list[Child] = ["score", *[[_key(place), name] for place, name in enumerate(comparison.names)], "0% to 100%"]
    caption = "Share of test images answered rightly, its 95% interval, and the gain over an untrained encoder."
    how = element("summary", f"How each was measured ({comparison.names[0]})")
    return [_paints(len(comparison.records)), table(caption, head, rows, "scores"),
            element("details", how, element("dl", measured))]  # fmt: skip


def _cell(comparison: Comparison, place: int, name: str) -> Child:
    record = comparison.records[place]
    score, untrained = record.score("trained", name), record.score("untrained", name)
    gain = element("small", f"{points(score.value - untrained.value)}") if score and untrained else None
    return [score_cell(score), gain]


def _paints(runs: int) -> Markup:
    """Each run's colour under a class of its own, the same as its line's."""
    return element("style", Markup("".join(f".r{place}{{--paint:{colour(place)}}}" for place in range(runs))))


def _key(place: int) -> Markup:
    return element("span", class_=f"key run r{place}", aria_hidden="true")


def _cost(comparison: Comparison) -> Markup:
    rows = []
    for record, name in zip(comparison.records, comparison.names, strict=True):
        images, steps = record.total("images"), record.total("step")
        seconds = record.environment.get("seconds") or record.total("seconds")
        labels, shown = label_budget(record.config.get("labels", "unknown")), record.visible_labels
        rows.append([
            name,
            record.method,
            f"{labels} ({count(shown)})" if shown is not None else labels,
            count(images) if images else "–",
            count(steps) if steps else "–",
            duration(seconds) if seconds else "–",
            str(record.environment.get("machine", "–")),
        ])  # fmt: skip
    head = ["run", "method", "labels shown", "images seen", "steps", "training took", "machine"]
    return table("Images seen count every view that passed through the encoder.", head, rows)


def _settings(comparison: Comparison) -> Markup:
    rows = [[name, *values] for name, values in differing([record.config for record in comparison.records]).items()]
    if not rows:
        return element("p", "None: the runs were asked for the same thing.", class_="soft")
    caption = f"{amount(len(rows), 'setting')} of config.json; all others are the same."
    return element("div", table(caption, ["setting", *comparison.names], rows), class_="plain-settings")
