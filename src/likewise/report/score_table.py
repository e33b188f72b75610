"""The final scores: trained beside the start and the untrained encoder, each with its interval and protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from likewise.evaluation.scores import Score
from likewise.report.markup import Child, Markup, element, table
from likewise.report.record import ENCODERS, RunRecord
from likewise.report.wording import amount, count, percent, points, score_name

HEADLINES = ("linear_top1", "fine_tune_top1")
"""Scores that a verdict rests on, before whatever else there is."""

LABEL_FREE = {
    "alignment": "distance between two views of one image; lower is better (Wang and Isola 2020)",
    "uniformity": "how evenly the vectors fill the sphere; lower is better (Wang and Isola 2020)",
    "effective_rank": "directions that the vectors make use of; higher is better (RankMe, Garrido et al. 2023)",
    "spread": "mean deviation of the unit vectors times the root of their width; 1 is even, 0 is collapsed",
}
PROTOCOL = {
    "k": "{} neighbours vote",
    "temperature": "temperature {}",
    "bank": "from {} labelled images",
    "labelled": "fitted on {} labelled images",
    "strength": "L2 strength {}",
    "strength_chosen": "chosen by {}",
    "validation": "{} images for that choice",
    "validation_accuracy": "accuracy {} on them",
    "standardised_over": "features standardised over {} images",
    "draws": "{} draws of the labels",
    "seed": "seed {}",
    "interval": "{}",
}
"""A protocol's entries in words; one that is not here is shown under its own name."""


def headline(record: RunRecord) -> str | None:
    """The name of the score that a verdict rests on, or None where nothing was scored."""
    names = [score.name for score in record.scores["trained"]]
    return next((name for name in (*HEADLINES, *names) if name in names), None)


def verdict(trained: Score, untrained: Score | None) -> tuple[str, str]:
    """A sentence on what was gained, and how to colour it: good, bad or nothing."""
    said = f"{score_name(trained.name).capitalize()}: {percent(trained.value)} of {amount(trained.count, 'test image')}"
    if untrained is None:
        return f"{said}. No untrained encoder was scored, so what training gained is unknown.", ""
    gain = points(trained.value - untrained.value)
    beside = f"{said}, beside {percent(untrained.value)} for an untrained encoder of the same shape ({gain})"
    if trained.low > untrained.high:
        return f"{beside}. The intervals do not overlap, so the gain is real.", "good"
    if trained.high < untrained.low:
        return f"{beside}. Training made it worse: look at the curves, and at the learning rate.", "bad"
    return f"{beside}. The intervals overlap, so these images cannot tell the two apart.", ""


def scores_table(record: RunRecord) -> Markup:
    """One row a score, one column an encoder, a strip that shows them to scale, and the protocol below the name."""
    present = [who for who in ENCODERS if record.scores[who]]
    head: list[Child] = ["score", *[[_key(who), ENCODERS[who]] for who in present]]
    gain = {"trained", "untrained"} <= set(present)
    names = list(dict.fromkeys(score.name for who in present for score in record.scores[who]))
    rows = []
    for name in names:
        scored = {who: score for who in present if (score := record.score(who, name))}
        row: list[Child] = [_named(name, scored), *[_cell(scored.get(who)) for who in present]]
        if gain:
            row.append(_gain(scored.get("trained"), scored.get("untrained")))
        rows.append([*row, strip(scored)])
    caption = "Share of test images answered rightly, with its 95 % interval below."
    return table(caption, [*head, *(["gain"] if gain else []), "0 % to 100 %"], rows)


def protocol_in_words(protocol: Mapping[str, Any]) -> str:
    """``k`` 20, ``temperature`` 0.07 -> "20 neighbours vote; temperature 0.07"."""
    said = []
    for key, value in protocol.items():
        if key == "k_asked":
            if value != protocol.get("k"):
                said.append(f"{value} were asked for, more than the bank holds")
            continue
        shown = percent(value) if key == "validation_accuracy" and value is not None else _setting(value)
        said.append(PROTOCOL.get(key, f"{key.replace('_', ' ')} {{}}").format(shown))
    return "; ".join(said)


def strip(scored: Mapping[str, Score]) -> Markup:
    """The scores of one row to scale: a dot for each, a bar for its interval."""
    rows = {who: 9.0 + 10 * place for place, who in enumerate(scored)}
    height = 10 * len(scored) + 10
    said = ", ".join(f"{ENCODERS[who]} {percent(score.value)}" for who, score in scored.items())
    marks = [
        Markup(f'<line x1="{x}%" x2="{x}%" y1="2" y2="{height - 2}"/>') for x in (0, 25, 50, 75, 100)
    ]  # fmt: skip
    for who, score in scored.items():
        low, high, value = (f"{100 * min(max(x, 0.0), 1.0):.2f}%" for x in (score.low, score.high, score.value))
        marks.append(Markup(f'<line class="range {who}" x1="{low}" x2="{high}" y1="{rows[who]}" y2="{rows[who]}"/>'))
        marks.append(Markup(f'<circle class="{who}" cx="{value}" cy="{rows[who]}" r="4"/>'))
    return element("svg", marks, class_="strip", role="img", aria_label=said)


def label_free_table(measures: Mapping[str, Any]) -> Markup | None:
    """Measures that need no labels; trained beside untrained where both were taken."""
    by_encoder = {who: measures[who] for who in ENCODERS if isinstance(measures.get(who), dict)}
    columns = by_encoder or {"trained": dict(measures)}
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    if not names:
        return None
    rows = [[_measure(name), *[_setting(values.get(name, "–")) for values in columns.values()]] for name in names]
    return table("Measures that need no labels.", ["measure", *[ENCODERS[who] for who in columns]], rows)


def _measure(name: str) -> list[Child]:
    return [name.replace("_", " "), element("small", LABEL_FREE[name]) if name in LABEL_FREE else None]


def _named(name: str, scored: Mapping[str, Score]) -> list[Child]:
    score = next(iter(scored.values()))
    words = [amount(score.count, "test image"), protocol_in_words(score.protocol)]
    return [score_name(name), element("small", "; ".join(word for word in words if word))]


def _cell(score: Score | None) -> Child:
    if score is None:
        return "–"
    interval = f"{100 * score.low:.1f} to {100 * score.high:.1f}"
    return [element("span", percent(score.value), class_="value"), element("small", interval, class_="interval")]


def _gain(trained: Score | None, untrained: Score | None) -> Child:
    return points(trained.value - untrained.value) if trained and untrained else "–"


def _key(who: str) -> Markup:
    return element("span", class_=f"key {who}", aria_hidden="true")


def _setting(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(_setting(each) for each in value) if isinstance(value, (list, tuple)) else str(value)
