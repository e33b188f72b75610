"""The page of an advice: the sentence, the arms with their intervals, what each ingredient was worth, what to type."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from likewise import __version__
from likewise.counts import amount, count
from likewise.report.pages.blocks import (
    Block,
    Cell,
    Commands,
    ListBlock,
    Note,
    Section,
    TableBlock,
    Text,
)
from likewise.report.pages.chart import GREY, Chart, chart, colour, error_bars, figure, plain
from likewise.report.pages.document import document, write_page
from likewise.report.pages.rendering import render
from likewise.report.wording import duration, interval, percent, points

ENDED = {
    "complete": "",
    "behind": "dropped: others were ahead",
    "no time": "not finished in the time",
    "not tried": "not tried in the time",
    "failed": "failed: see the notes",
}
"""how an arm ended"""

LABEL = 26
"""Characters in a line of an arm's name beside the chart: on a phone the chart keeps half of the width."""

LINE, ROW_MARGIN = 16, 10
"""pixels of a line of a name, and between two names"""

CAPTION = (
    "Cross-validated accuracy with its 95% interval; the winner is in blue. It is chosen by the probability that it "
    "gives to the right class (the geometric mean), which says more than accuracy where labels are few. Arms share "
    "images, so overlapping intervals do not mean that two arms are equal: the differences below are paired."
)


def write_advice_page(advice: Mapping[str, Any], out: Path) -> Path:
    """Write the page, a pure function of ``advice.json``.

    Args:
        advice: its content.
        out: the page's path, in the classifier's folder.

    Raises:
        LikewiseError: ``out`` is a file that is not a page of likewise.
        EnvironmentIOError: the page cannot be written.
    """
    first = advice["sentence"].removesuffix(" ".join(advice["findings"])).strip()
    lead: list[Block] = [
        Text(first, "verdict"),
        render("numbers.html", numbers=_numbers(advice)),
        ListBlock(advice["findings"]) if advice["findings"] else None,
    ]
    if advice["notes"]:
        lead.append(Note(advice["notes"]))
    sections = [
        Section("arms", "What was tried", [_picture(advice), _choice(advice), _arms(advice)]),
        Section("worth", "What each ingredient is worth", _worth(advice)),
        Section("next", "Next steps", [Commands(_commands(advice, out))]),
        Section("how", "How it was measured", [ListBlock(_how(advice))]),
    ]
    title = f"The best classifier for {advice['source']} from {amount(advice['labels'], 'label')}"
    footer = f"Written by likewise {__version__} from {out.parent}. The page is one file and fetches nothing."
    return write_page(out, document(title, lead, [each for each in sections if each.body], footer))


def _numbers(advice: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    expected = "too few labels to say"
    if advice["expected"] is not None:
        expected = f"95% interval: {interval(advice['low'], advice['high'])}"
    return [
        ("expected accuracy", percent(advice["expected"]), expected),
        ("labels", count(advice["labels"]), f"of {amount(advice['classes'], 'class', 'classes')}"),
        ("images", count(advice["images"]), "labelled or not"),
        ("time", duration(advice["seconds"]), f"of {duration(advice['time'])} given"),
    ]


def _measured(advice: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [arm for arm in advice["arms"] if arm["accuracy"] is not None]


def _picture(advice: Mapping[str, Any]) -> Chart | None:
    """Accuracies with their intervals, the winner in its own colour."""
    arms = _measured(advice)[::-1]
    if not arms:
        return None
    names = [textwrap.wrap(plain(arm["name"]), LABEL, break_on_hyphens=False) for arm in arms]
    row = ROW_MARGIN + LINE * max(len(lines) for lines in names)
    paints = [colour(0) if arm["name"] == advice["winner"] else GREY for arm in arms]
    dots = go.Scatter(
        x=[arm["accuracy"] for arm in arms],
        y=["<br>".join(lines) for lines in names],
        error_x=error_bars(
            [arm["accuracy"] for arm in arms],
            [arm["low"] for arm in arms],
            [arm["high"] for arm in arms],
            color=GREY,
        ),
        mode="markers",
        marker={"size": 11, "color": paints},
        hovertemplate="%{x:.1%}<extra>%{y}</extra>",
    )
    drawn = figure([dots])
    drawn.update_xaxes(tickformat=".0%", title="accuracy", nticks=4, tickangle=0)
    drawn.update_yaxes(automargin=True, showgrid=False)
    named = "; ".join(f"{arm['name']} {percent(arm['accuracy'])}" for arm in arms[::-1])
    return chart(
        "arms-chart", drawn, f"Accuracy of each arm: {named}", CAPTION, height=90 + row * len(arms)
    )


def _choice(advice: Mapping[str, Any]) -> Block:
    """Why the winner is not the arm with the highest accuracy."""
    return Text(advice["choice"]) if advice.get("choice") else None


def _arms(advice: Mapping[str, Any]) -> TableBlock:
    rows = []
    for arm in advice["arms"]:
        name = Cell(arm["name"], note="the winner" if arm["name"] == advice["winner"] else "")
        accuracy = "–"
        if arm["accuracy"] is not None:
            accuracy = Cell(percent(arm["accuracy"]), interval(arm["low"], arm["high"]))
        time = duration(arm["seconds"]) if arm["seconds"] else "–"
        rows.append([name, accuracy, percent(arm.get("probability")), time, ENDED[arm["outcome"]]])
    columns = ["arm", "accuracy", "probability of the right class", "time", ""]
    return TableBlock("Arms from the simplest to the most elaborate.", columns, rows)


def _worth(advice: Mapping[str, Any]) -> list[Block]:
    tried = [gain for gain in advice["gains"] if gain["value"] is not None]
    untried = [gain["of"] for gain in advice["gains"] if gain["value"] is None]
    blocks: list[Block] = []
    if tried:
        rows = []
        for gain in tried:
            ingredient = Cell(gain["of"], note=_pair(gain))
            difference = Cell(points(gain["value"]), interval(gain["low"], gain["high"]))
            rows.append([ingredient, difference])
        caption = "Paired differences on the same held-out images, with 95% intervals."
        blocks.append(TableBlock(caption, ["ingredient", "difference"], rows))
    if untried:
        blocks.append(Text(f"Not tried: {', '.join(untried)}."))
    return blocks


def _pair(gain: Mapping[str, Any]) -> str:
    return f"{gain['first']} against {gain['second']}" if gain["first"] else ""


def _commands(advice: Mapping[str, Any], out: Path) -> list[tuple[str, str]]:
    return [
        ("Classify new images.", f"likewise predict {out.parent} NEW/ --out predictions.csv"),
        ("Try more, and for longer.", advice["command"]),
    ]


def _how(advice: Mapping[str, Any]) -> list[str]:
    folds = advice["protocol"].get("folds", 0)
    return [
        f"Every arm was measured by {folds}-fold cross-validation within the visible labels, all on the same "
        "folds. Images that are held out are not learned from, not even without their label.",
        "The expected accuracy is that of the choice, not of the luckiest arm: the choice is repeated on bootstrap "
        "samples of the labelled images, and measured on the images outside them (BBC-CV, Tsamardinos et al. 2018).",
        "The classifiers of the folds learn from fewer labels than the final one. The accuracies are corrected for "
        "that: errors are taken to fall as the number of labels to the power of -0.2, give or take 0.1.",
        "A class with one label cannot be held out. It is taken to be recognised half as often as the others.",
        "Intervals allow for answers of different folds being correlated, and hold for new images like the labelled "
        "ones, with the same mixture of classes.",
    ]
