"""The final scores: trained beside the start and the untrained encoder, each with its interval and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from likewise.evaluation.statistics.scores import Score, ScoreDifference
from likewise.report.pages.markup import Child, Markup, element, table
from likewise.report.record import ENCODERS, RunRecord
from likewise.report.wording import (
    amount,
    count,
    interval,
    is_main,
    is_over_classes,
    percent,
    points,
    score_name,
    sentence_case,
)

HEADLINES = ("linear_top1", "fine_tune_top1", "linear_miou")
"""Scores that a verdict rests on, before whatever else there is."""

LABEL_FREE = {
    "alignment": "distance between two views of one image; lower is better (Wang and Isola 2020)",
    "uniformity": "how evenly the vectors fill the sphere; lower is better (Wang and Isola 2020)",
    "effective_rank": "directions that the vectors make use of; higher is better (RankMe, Garrido et al. 2023)",
    "feature_std": "how far the unit vectors lie apart: 1 when even, 0 after a collapse (SimSiam, Chen and He 2021)",
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
    "validation_cross_entropy": "cross-entropy {} on them",
    "standardised_over": "features standardised over {} images",
    "images": "among {} images",
    "texts": "{} captions",
    "clips": "among {} clips",
    "sounds": "{} sounds",
    "shifted_by": "against sound shifted by {}",
    "chance": "by chance {}",
    "mean_over": "mean over {}",
    "draws": "{} draws of the labels",
    "seed": "seed {}",
    "map": "map {} of the encoder",
    "image": "image {}",
    "enlarged": "enlarged {}",
    "training_pixels": "fitted on {} pixels",
    "training_images": "of {} images",
    "ignore_index": "value {} is ignored",
    "groups": "in {} groups that belong together",
    "design_effect": "so the variance is taken {} times",
    "interval": "{}",
}
"""A protocol's entries in words; one that is not here is shown under its own name."""
SAID_BY_NAME = frozenset({"k_requested", "per_class", "seeds"})
"""Entries that the score's name or another entry says already."""


def headline(record: RunRecord) -> str | None:
    """The name of the score that a verdict rests on, or None where nothing was scored."""
    names = [score.name for score in record.scores["trained"]]
    return next((name for name in (*HEADLINES, *names) if name in names), None)


def verdict(record: RunRecord, name: str) -> Markup:
    """What was gained over an untrained encoder, and whether the test images suffice to say so."""
    trained, untrained, gain = (
        record.score("trained", name),
        record.score("untrained", name),
        record.gain("untrained", name),
    )
    if trained is None:
        return element("p", "The trained encoder has no score.", class_="verdict")
    asked = f"{_over(name)} {amount(trained.count, f'test {record.example}')}"
    said = f"{sentence_case(score_name(name))}: {percent(trained.value)} {asked}"
    if untrained is None:
        unknown = "No untrained encoder was scored, so what training gained is unknown."
        return element("p", f"{said}. {unknown}", class_="verdict")
    beside = f"{said}, beside {percent(untrained.value)} for an untrained encoder of the same shape. "
    conclusion, tone = _conclusion(trained, untrained, gain)
    return element("p", beside, element("strong", conclusion, class_=tone), class_="verdict")


def _over(name: str) -> str:
    """A share is of images, but for segmentation, whose scores are over pixels or classes."""
    return "on" if name in ("linear_miou", "linear_pixel_accuracy") else "of"


def _conclusion(trained: Score, untrained: Score, gain: ScoreDifference | None) -> tuple[str, str]:
    """The gain in words, and how to colour it."""
    low, high = (gain.low, gain.high) if gain else (trained.low - untrained.high, trained.high - untrained.low)
    said = points(trained.value - untrained.value)
    if gain:
        said += f" ({interval(gain.low, gain.high)})"
    if low > 0:
        return f"Training gained {said}.", "good"
    if high < 0:
        return f"Training made it worse: {said}. Look at the curves, and at the learning rate.", "bad"
    return f"Training changed it by {said}: these test images cannot tell the two apart.", ""


def scores_table(record: RunRecord) -> list[Child]:
    """One row a score, one column an encoder, a strip that shows them to scale; below, how each was measured.

    Means over classes have a table of their own; scores on corrupted images have a section (see ``corruptions``).
    """
    names = list(dict.fromkeys(score.name for scores in record.scores.values() for score in scores))
    but = " (of segmentation: see below)" if "linear_miou" in names else ""
    caption = f"Share of test images answered rightly{but}, with its 95% interval below."
    by_class = "The same as a mean over classes, each counting alike, with its 95% interval below."
    parts = _scores_table(record, [name for name in names if is_main(name)], caption, True)
    if over_classes := [name for name in names if is_over_classes(name)]:
        parts += _scores_table(record, over_classes, by_class, False)
    return parts


def _scores_table(record: RunRecord, names: Sequence[str], caption: str, open_: bool) -> list[Child]:
    present = [who for who in ENCODERS if record.scores[who]]
    gain = {"trained", "untrained"} <= set(present)
    rows, measured = [], []
    for name in names:
        scored = {who: score for who in present if (score := record.score(who, name))}
        row: list[Child] = [score_name(name), *[score_cell(scored.get(who)) for who in present]]
        if gain:
            row.append(_gain(record, name))
        rows.append([*row, strip([(who, ENCODERS[who], score) for who, score in scored.items()])])
        measured.append(_measured(name, next(iter(scored.values()))))
    head: list[Child] = ["score", *[[_key(who), ENCODERS[who]] for who in present]]
    return [
        table(caption, [*head, *(["gain"] if gain else []), "0% to 100%"], rows, "scores"),
        element("details", element("summary", "How each was measured"), element("dl", measured), open=open_),
    ]


def protocol_in_words(protocol: Mapping[str, Any]) -> str:
    """``k`` 20, ``temperature`` 0.07 -> "20 neighbours vote; temperature 0.07"."""
    said = []
    for key, value in protocol.items():
        if key in SAID_BY_NAME:
            continue
        shown = percent(value) if key == "validation_accuracy" and value is not None else _setting(value)
        said.append(PROTOCOL.get(key, f"{key.replace('_', ' ')} {{}}").format(shown))
    if protocol.get("k_requested", protocol.get("k")) != protocol.get("k"):
        said.append(f"{protocol['k_requested']} neighbours were asked for, more than there are")
    return "; ".join(said)


def strip(scored: Sequence[tuple[str, str, Score]]) -> Markup:
    """The scores of one row to scale: a dot for each, a bar for its interval.

    Args:
        scored: for each score its class in the style sheet, what it is called, and the score.
    """
    height = 10 * len(scored) + 8
    said = ", ".join(f"{name} {percent(score.value)}" for _, name, score in scored)
    marks = [Markup(f'<line x1="{x}%" x2="{x}%" y1="0" y2="{height}"/>') for x in (0, 25, 50, 75, 100)]
    for place, (who, _, score) in enumerate(scored):
        y = 9 + 10 * place
        low, high, value = (f"{100 * min(max(x, 0.0), 1.0):.2f}%" for x in (score.low, score.high, score.value))
        marks.append(Markup(f'<line class="range {who}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'))
        marks.append(Markup(f'<circle class="{who}" cx="{value}" cy="{y}" r="3.5"/>'))
    return element("svg", marks, class_="strip", role="img", aria_label=said, style=f"height:{height}px")


def label_free_table(measures: Mapping[str, Any]) -> Markup | None:
    """Measures that need no labels; trained beside untrained where both were taken."""
    by_encoder = {who: measures[who] for who in ENCODERS if isinstance(measures.get(who), dict)}
    columns = by_encoder or {"trained": dict(measures)}
    names = list(dict.fromkeys(name for values in columns.values() for name in values))
    if not names:
        return None
    rows = [[_measure(name), *[_number(values.get(name)) for values in columns.values()]] for name in names]
    return table("Measures that need no labels.", ["measure", *[ENCODERS[who] for who in columns]], rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")


def _measure(name: str) -> list[Child]:
    return [name.replace("_", " "), element("small", LABEL_FREE[name]) if name in LABEL_FREE else None]


def _measured(name: str, score: Score) -> list[Child]:
    words = [amount(score.count, "test image"), protocol_in_words(score.protocol)]
    return [element("dt", score_name(name)), element("dd", "; ".join(word for word in words if word))]


def score_cell(score: Score | None) -> Child:
    """A score above its interval."""
    if score is None:
        return "–"
    return [element("span", percent(score.value), class_="value"),
            element("small", interval(score.low, score.high), class_="interval")]  # fmt: skip


def _gain(record: RunRecord, name: str) -> Child:
    trained, untrained, gain = (
        record.score("trained", name),
        record.score("untrained", name),
        record.gain("untrained", name),
    )
    if not trained or not untrained:
        return "–"
    small = element("small", interval(gain.low, gain.high), class_="interval") if gain else None
    return [element("span", points(trained.value - untrained.value), class_="value"), small]


def _key(who: str) -> Markup:
    return element("span", class_=f"key {who}", aria_hidden="true")


def _setting(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(dict.fromkeys(_setting(each) for each in value))
    return str(value)
