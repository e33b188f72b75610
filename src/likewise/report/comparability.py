"""Whether the scores of two runs were taken in the same way, so that a difference means something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from likewise.evaluation.statistics.scores import Score
from likewise.report.record import RunRecord
from likewise.report.wording import label_budget, score_name

FOLLOWS_FROM_LABELS = ("bank", "labelled", "standardised_over", "strength", "validation")
"""Beginnings of entries that differ because labels and features do, which is what a comparison may be about."""

NO_MATTER = frozenset({"seed", "interval"})
"""Entries that may differ between runs of one protocol."""


def incomparable(first: RunRecord, second: RunRecord) -> list[str]:
    """Reasons why the scores of two runs cannot be compared, a phrase each; empty where they can."""
    found = _test_sets(first, second)
    for score in first.scores["trained"]:
        other = second.score("trained", score.name)
        if other is not None:
            found += _protocols(score, other)
    return found


def comparison_notes(records: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    """Differences that a reader should know of, but that leave the scores comparable."""
    said = []
    budgets = [str(record.config.get("labels", "unknown")) for record in records]
    if len(set(budgets)) > 1:
        shown = ", ".join(f"{name} {label_budget(budget)}" for name, budget in zip(names, budgets, strict=True))
        said.append(f"The runs saw different labels: {shown}. What differs is due to that as well as to the method.")
    machines = {(record.environment.get("machine"), record.environment.get("device")) for record in records}
    if len(machines) > 1:
        said.append("The runs were made on different machines, so their seconds cannot be compared; images can.")
    if len({_validation(record) for record in records}) > 1:
        said.append("Online accuracy was taken on different validation images (another seed or share).")
    unfinished = [name for record, name in zip(records, names, strict=True) if not record.finished]
    if unfinished:
        said.append(f"Not trained to the end: {', '.join(unfinished)}.")
    return said


def _test_sets(first: RunRecord, second: RunRecord) -> list[str]:
    """Differences of what was tested on, as far as the folders tell."""
    found = []
    facts = {
        "data": lambda record: PurePath(str(record.data.get("source", ""))).name,
        "test images": lambda record: (record.data.get("splits") or {}).get("test"),
        "classes": lambda record: [each.get("name") for each in record.data.get("classes") or []],
    }
    if not (first.data and second.data):
        return []
    for name, fact in facts.items():
        mine, theirs = fact(first), fact(second)
        if mine != theirs:
            found.append(f"different {name} ({_brief(mine)} and {_brief(theirs)})")
    return found


def _protocols(first: Score, second: Score) -> list[str]:
    given = {**first.protocol, **second.protocol}
    # Where both say what k was asked for, the k in use follows from the bank.
    ignored = NO_MATTER | ({"k"} if "k_requested" in first.protocol and "k_requested" in second.protocol else set())
    keys = [key for key in given if key not in ignored and not key.startswith(FOLLOWS_FROM_LABELS)]
    name = score_name(first.name)
    found = [
        f"{name} with {key.replace('_', ' ')} {_brief(first.protocol.get(key))} and {_brief(second.protocol.get(key))}"
        for key in keys
        if first.protocol.get(key) != second.protocol.get(key)
    ]
    if first.count != second.count:
        found.append(f"{name} over {first.count:,} and {second.count:,} test images")
    return found


def _validation(record: RunRecord) -> tuple[Any, ...]:
    settings, splits = record.config.get("settings") or {}, record.data.get("splits") or {}
    return (settings.get("seed"), settings.get("validation"), splits.get("val"))


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} of them"
    return "none stated" if value in (None, "") else str(value)
