"""The final scores of the trained, the pretrained and the untrained encoder, each with interval and protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from likewise.counts import amount, count
from likewise.evaluation.statistics.scores import Score, ScoreDifference
from likewise.report.pages.blocks import (
    Block,
    Cell,
    Mark,
    ScoreRow,
    ScoreTable,
    TableBlock,
    TableColumn,
    Text,
)
from likewise.report.pages.rendering import render
from likewise.report.record import ENCODERS, RunRecord
from likewise.report.start_comparison import start_warnings
from likewise.report.wording import (
    interval,
    is_main,
    is_over_classes,
    listed,
    percent,
    points,
    score_name,
    sentence_case,
)

HEADLINES = ("linear_top1", "fine_tune_top1", "linear_miou", "multilabel_map", "regression_r2")
"""Scores that a verdict rests on, before any other."""

BASELINES = {
    "start": "the pretrained start",
    "untrained": "an untrained encoder of the same architecture",
}
"""What training is measured against: the first of them that was scored."""

LABEL_FREE = {
    "alignment": "distance between two views of one image; lower is better (Wang and Isola 2020)",
    "uniformity": "how evenly the vectors fill the sphere; lower is better (Wang and Isola 2020)",
    "effective_rank": "dimensions that the vectors use; higher is better (RankMe, Garrido et al. 2023)",
    "feature_std": "standard deviation of unit vectors: 1 when even, 0 after a collapse (SimSiam, Chen and He 2021)",
}
PROTOCOL = {
    "k": "{} neighbours vote",
    "temperature": "temperature {}",
    "bank": "from {} labelled images",
    "labelled": "fitted on {} labelled images",
    "strength": "L2 strength {}",
    "strength_chosen": "chosen on {}",
    "validation": "{} images for that choice",
    "validation_accuracy": "accuracy {} on them",
    "validation_cross_entropy": "cross-entropy {} on them",
    "standardised_over": "features standardised over {} images",
    "images": "among {} images",
    "texts": "{} captions",
    "clips": "among {} clips",
    "sounds": "{} sounds",
    "shifted_by": "against sound shifted by {}",
    "chance": "{} by chance",
    "mean_over": "mean over {}",
    "draws": "{} samples of the labels",
    "seed": "seed {}",
    "map": "map {} of the encoder",
    "image": "image {}",
    "resized": "resized {}",
    "training_pixels": "fitted on {} pixels",
    "training_images": "of {} images",
    "ignore_index": "value {} is ignored",
    "groups": "in {} groups that belong together",
    "design_effect": "design effect {}",
    "alpha": "ridge penalty {}",
    "mean_absolute_error": "mean absolute error {} in the targets' unit",
    "mean_absolute_error_interval": "95% interval of that error {}",
    "C": "inverse L2 strength {}",
    "validation_map": "mean average precision {} in cross-validation",
    "classes": "{} classes",
    "interval": "{}",
}
"""A protocol's entries in words; others appear under their own name."""
NAMED_ELSEWHERE = frozenset({"k_requested", "per_class", "seeds"})
"""Entries that the score's name or another entry already gives."""


def headline(record: RunRecord) -> str | None:
    """The name of the score that a verdict rests on, or None where nothing was scored."""
    names = [score.name for score in record.scores["trained"]]
    for name in (*HEADLINES, *names):
        if name in names:
            return name
    return None


def verdict(record: RunRecord, name: str) -> Markup | Text:
    """The difference from the start of training, and whether it is more than chance on the test images.

    The start is the pretrained one where there was one, or else an untrained encoder.
    """
    trained = record.score("trained", name)
    if trained is None:
        return Text("The trained encoder has no score.", "verdict")
    images = amount(trained.count, f"test {record.example}")
    measured = f"{sentence_case(score_name(name))}: {percent(trained.value)} on {images}"
    baselines = [(who, score) for who in BASELINES if (score := record.score(who, name))]
    if not baselines:
        unknown = "No untrained encoder was scored, so what training changed is unknown."
        return Text(f"{measured}. {unknown}", "verdict")
    reached = [f"{BASELINES[who]} reaches {percent(score.value)}" for who, score in baselines]
    who, first = baselines[0]
    conclusion, tone = _conclusion(trained, first, record.difference(who, name))
    return render(
        "verdict.html",
        sentence=f"{measured}; {listed(reached)}.",
        conclusion=conclusion,
        tone=tone,
        note=" ".join(start_warnings(record.scores, record.differences)),
    )


def _conclusion(trained: Score, before: Score, paired: ScoreDifference | None) -> tuple[str, str]:
    """The difference in words, and how to colour it."""
    difference = points(trained.value - before.value)
    if paired is not None:
        low, high = paired.low, paired.high
        difference += f" (95% interval: {interval(low, high)})"
    else:
        low = trained.low - before.high
        high = trained.high - before.low
    if low > 0:
        return f"Training gained {difference}.", "good"
    if high < 0:
        advice = "Check the training curves and the learning rate."
        return f"Training lost {difference}. {advice}", "bad"
    unsure = "on these test images the difference is not significant"
    return f"Training changed it by {difference}: {unsure}.", ""


def scores_tables(record: RunRecord) -> list[Block]:
    """All scores but those on corrupted images, which have a section; means over classes in a table of their own."""
    names = []
    for scores in record.scores.values():
        names += [score.name for score in scores if score.name not in names]
    tables: list[Block] = []
    main = [name for name in names if is_main(name)]
    by_class = [name for name in names if is_over_classes(name)]
    if main:
        caption = "Scores on test images, with 95% intervals."
        tables.append(_scores_table(record, main, caption, True))
    if by_class:
        caption = "The same as means over classes, with 95% intervals."
        tables.append(_scores_table(record, by_class, caption, False))
    return tables


def _scores_table(record: RunRecord, names: Sequence[str], caption: str, open_: bool) -> ScoreTable:
    encoders = [who for who in ENCODERS if record.scores[who]]
    scored = [who for who in BASELINES if who in encoders]
    before = scored[0] if scored and "trained" in encoders else None
    if before is not None:
        caption += f" The difference is that of the trained encoder from {BASELINES[before]}."
    rows = []
    for name in names:
        cells = [score_cell(record.score(who, name)) for who in encoders]
        if before is not None:
            cells.append(_difference(record, name, before))
        found = {who: score for who in encoders if (score := record.score(who, name))}
        marks = [mark(who, ENCODERS[who], score) for who, score in found.items()]
        measured = next(iter(found.values()))
        how = [amount(measured.count, "test image"), protocol_in_words(measured.protocol)]
        rows.append(ScoreRow(score_name(name), cells, marks, "; ".join(filter(None, how))))
    columns = [TableColumn(who, ENCODERS[who]) for who in encoders]
    return ScoreTable(caption, columns, rows, before is not None, open=open_)


def score_cell(score: Score | None) -> Cell | str:
    """A score above its interval."""
    return Cell(percent(score.value), interval(score.low, score.high)) if score else "–"


def _difference(record: RunRecord, name: str, before: str) -> Cell | str:
    trained = record.score("trained", name)
    other = record.score(before, name)
    paired = record.difference(before, name)
    if not trained or not other:
        return "–"
    range_ = interval(paired.low, paired.high) if paired else ""
    return Cell(points(trained.value - other.value), range_)


def mark(css: str, name: str, score: Score) -> Mark:
    """A score on a strip."""
    low = _on_strip(score.low)
    value = _on_strip(score.value)
    high = _on_strip(score.high)
    return Mark(css, f"{name} {percent(score.value)}", low, value, high)


def _on_strip(value: float) -> float:
    """A share in percent, cut off at 0 and 100."""
    return round(100 * min(max(value, 0.0), 1.0), 2)


def protocol_in_words(protocol: Mapping[str, Any]) -> str:
    """``k`` 20, ``temperature`` 0.07 -> "20 neighbours vote; temperature 0.07"."""
    parts = []
    for key, value in protocol.items():
        if key in NAMED_ELSEWHERE:
            continue
        is_share = key == "validation_accuracy" and value is not None
        text = percent(value) if is_share else _setting(value)
        parts.append(PROTOCOL.get(key, f"{key.replace('_', ' ')} {{}}").format(text))
    if protocol.get("k_requested", protocol.get("k")) != protocol.get("k"):
        parts.append(f"{protocol['k_requested']} neighbours were requested, more than there are")
    return "; ".join(parts)


def _setting(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(dict.fromkeys(_setting(item) for item in value))
    return str(value)


def label_free_table(measures: Mapping[str, Any]) -> TableBlock | None:
    """Measures that need no labels, of the trained and the untrained encoder where both were measured."""
    columns = {who: measures[who] for who in ENCODERS if isinstance(measures.get(who), dict)}
    if not columns:
        columns = {"trained": dict(measures)}
    names: dict[str, None] = {}  # a set in order
    for values in columns.values():
        names |= dict.fromkeys(values)
    if not names:
        return None
    rows = []
    for name in names:
        measure = Cell(name.replace("_", " "), note=LABEL_FREE.get(name, ""))
        numbers = [_number(values.get(name)) for values in columns.values()]
        rows.append([measure, *numbers])
    head = ["measure", *(ENCODERS[who] for who in columns)]
    return TableBlock("Measures that need no labels.", head, rows)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}".replace("-", "−")
