"""The page of a reproduction: the claim, the results of each seed, the training curves, the cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import plotly.graph_objects as go

from likewise.claims.claim import ONLINE
from likewise.claims.outcome import format_value
from likewise.claims.screens import by_arm
from likewise.counts import count
from likewise.report.pages.blocks import Block, Cell, Section, TableBlock, Text
from likewise.report.pages.chart import (
    Charts,
    axes_named,
    axis_title,
    chart,
    figure,
    line_style,
    plain,
)
from likewise.report.pages.curves import positions, values_of
from likewise.report.pages.document import document, write_page
from likewise.report.pages.rendering import render
from likewise.report.pages.settings import differing
from likewise.report.wording import duration, listed, percent, score_name

Content = Mapping[str, Any]
COSTS = ("images", "steps", "epochs", "seconds", "evaluation_seconds")
"""What a run cost, under these keys of its result"""


def write_claim_page(content: Content, out: Path) -> Path:
    """Write the page of an outcome, from its stored JSON.

    Raises:
        LikewiseError: ``out`` is a file that is not a page of likewise.
        EnvironmentIOError: the page cannot be written.
    """
    no_evidence = "This is no evidence: seeds, steps or data are not the claim's."
    note = "" if content["is_evidence"] else no_evidence
    conclusion = f"The claim {content['verdict']}."
    lead: list[Block] = [
        render("verdict.html", sentence="", conclusion=conclusion, tone="", note=note),
        f"{content['sentence']} ({content['paper']})",
        content["check"],
    ]
    sections = [
        Section("statements", "What the claim requires", [_statements(content)]),
        Section("arms", "Scores of each arm", [_arms(content)]),
        Section("curves", "Training curves", _curves(content) if _drawn(content) else []),
        Section("cost", "Cost", _cost(content)),
        Section("settings", "Settings that differ between the arms", [_settings(content)]),
    ]
    footer = f"Written by likewise reproduce {content['claim']}. The page is one file and fetches nothing."
    title = f"Does it hold here? {content['claim']}"
    with_content = [section for section in sections if section.body]
    return write_page(out, document(title, lead, with_content, footer))


def _statements(content: Content) -> TableBlock:
    rows = []
    for each in content["statements"]:
        unit = each["unit"]
        sentence = each["sentence"]
        if each["premise"]:
            sentence = Cell(sentence, note=f"tested only if: {each['premise']}")
        row = [sentence, f"{each['relation']} {format_value(each['bound'], unit)}"]
        row.append(f"{format_value(each['value'], unit)} ({each['over_seeds']})")
        row += [format_value(value, unit) for value in each["by_seed"]]
        rows.append([*row, Cell(each["verdict"])])
    head = ["statement", "required", "measured", *_seeds(content), "verdict"]
    caption = (
        "A statement holds where its mean meets the inequality and two thirds of the seeds do."
    )
    return TableBlock(caption, head, rows)


def _arms(content: Content) -> TableBlock:
    rows = []
    for arm, results in by_arm(content).items():
        for score in results[0]["scores"]:
            values = [result["scores"][score] for result in results]
            by_seed = [percent(value) for value in values]
            rows.append([arm, score_name(score), percent(mean(values)), *by_seed])
    return TableBlock(
        "Scores on test images.", ["arm", "score", "mean", *_seeds(content)], rows, "scores"
    )


def _seeds(content: Content) -> list[str]:
    return [f"seed {seed}" for seed in content["seeds"]]


def _drawn(content: Content) -> list[tuple[int, dict[str, Any]]]:
    """The results that have a curve, each with the number of its arm."""
    numbers = {arm: number for number, arm in enumerate(content["arms"])}
    return [(numbers[result["arm"]], result) for result in content["results"] if result["curve"]]


def _curves(content: Content) -> list[Block]:
    drawn = _drawn(content)
    others = [key for key in ("images", "seconds", "epochs") if key != content["axis"]]
    keys = [content["axis"], *others]
    traces = [_trace(number, result, keys[0], content["seeds"]) for number, result in drawn]
    picture = figure(traces, "accuracy", axis_title(keys[0])).update_layout(showlegend=True)
    picture.update_yaxes(tickformat=".1~%")
    ends = []
    for arm, results in by_arm(content).items():
        if all(result["curve"] for result in results):
            last = mean(result["curve"][-1][ONLINE] for result in results)
            ends.append(f"{arm} {percent(last)}")
    alternative = (
        f"Accuracy by {score_name(ONLINE)} on validation images, one line per seed; "
        f"mean at the end: {listed(ends)}."
    )
    of_axes = positions([result["curve"] for _, result in drawn], keys)
    accuracy = chart("accuracy", picture, alternative, alternative, of_axes, height=440)
    return [Charts("claim-axis", axes_named(keys), [accuracy])]


def _trace(number: int, result: Mapping[str, Any], key: str, seeds: list[int]) -> go.Scatter:
    """One seed's line; an arm's seeds share colour, dash and entry in the legend."""
    name = plain(result["arm"])
    return go.Scatter(
        x=values_of(result["curve"], key),
        y=values_of(result["curve"], ONLINE),
        name=name,
        legendgroup=name,
        showlegend=result["seed"] == seeds[0],
        mode="lines+markers",
        hovertemplate=f"%{{y:.1%}} at %{{x:,.1f}}<extra>{name}, seed {result['seed']}</extra>",
        **line_style(number, width=1.5, size=5),
    )


def _cost(content: Content) -> list[Block]:
    rows = []
    for arm, results in by_arm(content).items():
        images, steps, epochs, seconds, evaluation_seconds = (
            mean(values_of(results, cost)) for cost in COSTS
        )
        amounts = [count(images), count(steps), f"{epochs:.1f}"]
        rows.append([arm, *amounts, duration(seconds), duration(evaluation_seconds)])
    head = ["arm", "views forwarded", "steps", "epochs", "training time", "evaluation time"]
    machines = []
    for each in content["environments"]:
        commit = each["commit"] or "unknown"
        machines.append(
            f"{each['machine']}, {each['device']} in {each['precision']}, commit {commit}"
        )
    total = f"All runs together: {count(content['images'])} views, {duration(content['seconds'])}; {listed(machines)}."
    return [TableBlock("Mean cost of a run; a teacher's views are not counted.", head, rows), total]


def _settings(content: Content) -> TableBlock | Text:
    arms = list(content["arms"])
    settings = differing(list(content["arms"].values()))
    rows = [[name, *values] for name, values in settings.items()]
    if not rows:
        return Text("None.")
    return TableBlock(
        "All others are the same; outcome.json holds every one.",
        ["setting", *arms],
        rows,
        "plain-settings",
    )
