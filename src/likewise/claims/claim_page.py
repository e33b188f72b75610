"""The page of a reproduction: the claim, the results of each seed, and learning curves against their cost."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import plotly.graph_objects as go

from likewise.claims.claim import ONLINE
from likewise.claims.outcome import format_value
from likewise.claims.screens import by_arm
from likewise.report.pages.chart import DASHES, MARKERS, axis_choice, axis_title, chart, colour, figure, plain
from likewise.report.pages.document import Section, document, write_page
from likewise.report.pages.markup import Child, Markup, element, table
from likewise.report.pages.settings import differing
from likewise.report.wording import count, duration, listed, percent, score_name

Content = Mapping[str, Any]


def write_claim_page(content: Content, out: Path) -> Path:
    """Write the page of an outcome, from its stored JSON.

    Raises:
        LikewiseError: ``out`` is a file that is not a page of likewise.
        EnvironmentIOError: the page cannot be written.
    """
    look = "" if content["is_evidence"] else " This is no evidence: seeds, steps or data are not the claim's."
    lead = [
        element("p", element("strong", f"The claim {content['verdict']}."), look, class_="verdict"),
        element("p", f"{content['sentence']} ({content['paper']})"),
        element("p", content["check"]),
    ]
    sections = [
        Section("statements", "What must hold", [_statements(content)]),
        Section("arms", "Scores of each arm", [_arms(content)]),
        *([Section("curves", "Learning curves", _curves(content))] if _drawn(content) else []),
        Section("cost", "Cost", [_cost(content)]),
        Section("settings", "Settings that differ between the arms", [_settings(content)]),
    ]
    footer = f"Written by likewise reproduce {content['claim']}. The page is one file and fetches nothing."
    return write_page(out, document(f"Does it hold here? {content['claim']}", lead, sections, footer))


def _statements(content: Content) -> Markup:
    seeds = content["seeds"]
    rows: list[list[Child]] = []
    for each in content["statements"]:
        unit = each["unit"]
        sentence = [
            each["sentence"],
            element("small", f"tested only if: {each['premise']}") if each["premise"] else None,
        ]
        rows.append([
            sentence,
            f"{each['relation']} {format_value(each['bound'], unit)}",
            f"{format_value(each['value'], unit)} ({each['over_seeds']})",
            *[format_value(value, unit) for value in each["by_seed"]],
            element("strong", each["verdict"]),
        ])  # fmt: skip
    head = ["statement", "required", "measured", *[f"seed {seed}" for seed in seeds], "verdict"]
    return table("A statement holds where its mean meets the inequality and two thirds of the seeds do.", head, rows)


def _arms(content: Content) -> Markup:
    rows: list[list[Child]] = []
    for arm, results in by_arm(content).items():
        for score in results[0]["scores"]:
            values = [result["scores"][score] for result in results]
            rows.append([arm, score_name(score), percent(mean(values)), *[percent(value) for value in values]])
    return table(
        "Share of test images classified correctly, and other scores.",
        ["arm", "score", "mean", *[f"seed {seed}" for seed in content["seeds"]]],
        rows,
        "scores",
    )


def _drawn(content: Content) -> list[tuple[int, dict[str, Any]]]:
    """The results that have a curve, each with its arm's position, which decides the colour."""
    arms = list(content["arms"])
    return [(arms.index(result["arm"]), result) for result in content["results"] if result["curve"]]


def _curves(content: Content) -> list[Child]:
    drawn = _drawn(content)
    keys = [content["axis"], *[key for key in ("images", "seconds", "epochs") if key != content["axis"]]]
    traces = [_trace(arm, result, keys[0], content["seeds"]) for arm, result in drawn]
    picture = figure(traces, "accuracy", axis_title(keys[0])).update_layout(showlegend=True)
    picture.update_yaxes(tickformat=".1~%")
    ends = [
        f"{arm} {percent(mean(result['curve'][-1][ONLINE] for result in results))}"
        for arm, results in by_arm(content).items()
        if all(result["curve"] for result in results)
    ]
    caption = (
        f"Accuracy by {score_name(ONLINE)} on validation images, one line for each seed. Final means: {listed(ends)}."
    )
    positions = {key: [[point[key] for point in result["curve"]] for _, result in drawn] for key in keys}
    return [axis_choice("claim-axis", keys), chart("accuracy", picture, caption, caption, positions, height=440)]


def _trace(arm: int, result: Mapping[str, Any], key: str, seeds: list[int]) -> go.Scatter:
    """One seed's line; an arm's seeds share colour, dash and entry in the legend."""
    name, first = plain(result["arm"]), result["seed"] == seeds[0]
    return go.Scatter(
        x=[point[key] for point in result["curve"]],
        y=[point[ONLINE] for point in result["curve"]],
        name=name, legendgroup=name, showlegend=first, mode="lines+markers",
        line={"color": colour(arm), "width": 1.5, "dash": DASHES[arm % len(DASHES)]},
        marker={"size": 5, "symbol": MARKERS[arm % len(MARKERS)]},
        hovertemplate=f"%{{y:.1%}} at %{{x:,.1f}}<extra>{name}, seed {result['seed']}</extra>",
    )  # fmt: skip


def _cost(content: Content) -> list[Child]:
    rows = [
        [
            arm,
            *[count(mean(result[key] for result in results)) for key in ("images", "steps")],
            f"{mean(result['epochs'] for result in results):.1f}",
            *[duration(mean(result[key] for result in results)) for key in ("seconds", "evaluation_seconds")],
        ]
        for arm, results in by_arm(content).items()
    ]
    head = ["arm", "views forwarded", "steps", "epochs", "training time", "evaluation time"]
    where = [
        f"{each['machine']}, {each['device']} in {each['precision']}, commit {each['commit'] or 'unknown'}"
        for each in content["environments"]
    ]
    facts = f"All runs together: {count(content['images'])} views, {duration(content['seconds'])}; {listed(where)}."
    return [
        table("Cost of one run, mean over seeds; the teacher's views are not counted.", head, rows),
        element("p", facts),
    ]


def _settings(content: Content) -> Markup:
    arms = list(content["arms"])
    rows = [[name, *values] for name, values in differing(list(content["arms"].values())).items()]
    if not rows:
        return element("p", "None.", class_="soft")
    caption = "All others are the same; outcome.json holds every one."
    return element("div", table(caption, ["setting", *arms], rows), class_="plain-settings")
