"""Whether the scores of two runs were measured by the same protocol, so that they can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from likewise.counts import amount
from likewise.evaluation.statistics.scores import Score
from likewise.report.record import RunRecord
from likewise.report.wording import label_budget, score_name

DEPEND_ON_LABELS = ("bank", "labelled", "standardised_over", "strength", "validation")
"""Beginnings of entries that differ because labels and features do, which is what a comparison may be about."""

IGNORED = frozenset({"seed", "interval"})
"""Entries that may differ between runs of one protocol."""

TEST_SET = ("data", "test images", "classes")
"""What makes a test set."""


def protocol_differences(first: RunRecord, second: RunRecord) -> list[str]:
    """Reasons why the scores of two runs cannot be compared, a phrase each; empty where they can."""
    reasons = _test_sets(first, second)
    for score in first.scores["trained"]:
        other = second.score("trained", score.name)
        if other is not None:
            reasons += _protocols(score, other)
    return reasons


def comparison_notes(records: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    """Differences that a reader should know of, but that leave the scores comparable."""
    notes = _budgets(records, names)
    machines = set()
    for record in records:
        machines.add((record.environment.get("machine"), record.environment.get("device")))
    if len(machines) > 1:
        notes.append(
            "The runs used different machines, so their seconds cannot be compared; images can."
        )
    if len({_validation(record) for record in records}) > 1:
        notes.append(
            "Online accuracy was measured on different validation images (another seed or share)."
        )
    unfinished = [name for record, name in zip(records, names, strict=True) if not record.finished]
    if unfinished:
        notes.append(f"Training has not finished: {', '.join(unfinished)}.")
    return notes


def _budgets(records: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    budgets = [str(record.config.get("labels", "unknown")) for record in records]
    if len(set(budgets)) == 1:
        return []
    by_run = []
    for name, budget in zip(names, budgets, strict=True):
        by_run.append(f"{name} {label_budget(budget)}")
    return [
        f"The label budgets differ: {', '.join(by_run)}. A difference is due to them as well as to the method."
    ]


def _test_sets(first: RunRecord, second: RunRecord) -> list[str]:
    """Differences between the test sets, as far as the folders record them."""
    if not (first.data and second.data):
        return []
    reasons = []
    for name, one, other in zip(TEST_SET, _test_set(first), _test_set(second), strict=True):
        if one != other:
            reasons.append(f"different {name} ({_brief(one)} and {_brief(other)})")
    return reasons


def _test_set(record: RunRecord) -> tuple[Any, ...]:
    """The name of the data, the number of test images and the classes."""
    source = PurePath(str(record.data.get("source", ""))).name
    images = (record.data.get("splits") or {}).get("test")
    classes = [each.get("name") for each in record.data.get("classes") or []]
    return source, images, classes


def _protocols(first: Score, second: Score) -> list[str]:
    ignored = set(IGNORED)
    if "k_requested" in first.protocol and "k_requested" in second.protocol:
        ignored.add("k")  # the k in use follows from the bank then
    name = score_name(first.name)
    reasons = []
    for key in {**first.protocol, **second.protocol}:
        one = first.protocol.get(key)
        other = second.protocol.get(key)
        if one != other and key not in ignored and not key.startswith(DEPEND_ON_LABELS):
            reasons.append(f"{name} with {key.replace('_', ' ')} {_brief(one)} and {_brief(other)}")
    if first.count != second.count:
        reasons.append(f"{name} over {first.count:,} and {amount(second.count, 'test image')}")
    return reasons


def _validation(record: RunRecord) -> tuple[Any, ...]:
    settings = record.config.get("settings") or {}
    splits = record.data.get("splits") or {}
    return settings.get("seed"), settings.get("validation"), splits.get("val")


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return f"{len(value)} of them"
    return "unknown" if value in (None, "") else str(value)
