"""Several runs compared: training curves, final scores, settings that differ, and speed-ups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from likewise.errors import LikewiseError, did_you_mean
from likewise.report.comparability import comparison_notes, protocol_differences
from likewise.report.comparison import Comparison
from likewise.report.pages.compare_page import write_compare_page
from likewise.report.pages.curves import axes_of, online_scores, values_of
from likewise.report.record import RunRecord
from likewise.report.speed_up import COSTS, Curve, SpeedUp, speed_up
from likewise.run_folder import RunFolder


def compare(
    runs: Sequence[RunFolder],
    out: Path | None = None,
    score: str | None = None,
    allow_incomparable: bool = False,
) -> Comparison:
    """Compare runs with the first of them.

    Args:
        runs: two or more; the first is the reference.
        out: where to write the page; ``None`` writes none.
        score: the online accuracy to draw and to measure the speed-up on; by default the first that all runs logged.
        allow_incomparable: compare scores of different protocols; the page then says in what these differ.

    Raises:
        LikewiseError: fewer than two runs, an unknown score, or different protocols.
    """
    records = tuple(RunRecord.read(run) for run in runs)
    if len(records) < 2:
        raise LikewiseError(
            f"A comparison takes two runs or more; {len(records)} given. Type: likewise compare runs/a runs/b"
        )
    names = _names(records)
    differences = _differences(records, names)
    if not allow_incomparable:
        _require_one_protocol(differences)
    chosen = _choose_score(records, score)
    speed_ups = _speed_ups(records, names, chosen) if chosen else []
    comparison = Comparison(
        records,
        names,
        score=chosen,
        speed_ups=tuple(speed_ups),
        incomparable=tuple(differences),
        notes=tuple(comparison_notes(records, names)),
    )
    if out is None:
        return comparison
    return replace(comparison, page=write_compare_page(comparison, Path(out)))


def _require_one_protocol(differences: Sequence[str]) -> None:
    if differences:
        raise LikewiseError(
            f"These runs were scored differently, so their scores cannot be compared: {'; '.join(differences)}. "
            f"Score them by one protocol with `likewise evaluate`, or compare them anyway with --allow-incomparable."
        )


def _names(records: Sequence[RunRecord]) -> tuple[str, ...]:
    """Each run's name, or its path where another run has the same name."""
    names = [record.name for record in records]
    unique = []
    for name, record in zip(names, records, strict=True):
        unique.append(name if names.count(name) == 1 else str(record.folder.path))
    return tuple(unique)


def _differences(records: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    differences = []
    for record, name in zip(records[1:], names[1:], strict=True):
        for reason in protocol_differences(records[0], record):
            differences.append(f"{names[0]} and {name}: {reason}")
    return differences


def _choose_score(records: Sequence[RunRecord], requested: str | None) -> str | None:
    shared = online_scores(records[0])
    for record in records[1:]:
        logged = online_scores(record)
        shared = [name for name in shared if name in logged]
    if requested is None:
        return shared[0] if shared else None
    if requested not in shared:
        known = did_you_mean(requested, shared) if shared else "They logged none in common."
        raise LikewiseError(
            f"Not every run logged the score {requested!r} during training. {known}"
        )
    return requested


def _speed_ups(records: Sequence[RunRecord], names: Sequence[str], score: str) -> list[SpeedUp]:
    """Each run against the reference, and the other way round where the run never reaches its accuracy."""
    curves = [_curve(record, name, score) for record, name in zip(records, names, strict=True)]
    reference, *others = curves
    found = []
    for curve in others:
        found.append(speed_up(curve, reference))
        if found[-1].ratios is None:
            found.append(speed_up(reference, curve))
    return found


def _curve(record: RunRecord, name: str, score: str) -> Curve:
    lines = record.curve(score)
    costs = {key: values_of(lines, key) for key in axes_of(lines) if key in COSTS}
    return Curve(name, values_of(lines, score), costs)
