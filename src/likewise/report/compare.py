"""Several runs side by side: curves, final scores, what differs, and who got there sooner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from likewise.errors import LikewiseError, did_you_mean
from likewise.report.comparability import comparison_notes, incomparable
from likewise.report.comparison import Comparison
from likewise.report.pages.compare_page import write_compare_page
from likewise.report.pages.curves import axes_of, online_scores
from likewise.report.record import RunRecord
from likewise.report.speed_up import COSTS, Curve, SpeedUp, speed_up
from likewise.run_folder import RunFolder


def compare(
    runs: Sequence[RunFolder], out: Path | None = None, score: str | None = None, allow_incomparable: bool = False
) -> Comparison:
    """Lay runs side by side.

    Args:
        runs: two or more; the first is the reference.
        out: where to write the page; ``None`` writes none.
        score: the online accuracy to draw and to measure the speed-up on; by default the first that all runs logged.
        allow_incomparable: compare scores of different protocols; the page then says in what these differ.

    Raises:
        LikewiseError: fewer than two runs, an unknown score, or unlike protocols.
    """
    records = tuple(RunRecord.read(run) for run in runs)
    if len(records) < 2:
        raise LikewiseError(
            f"A comparison takes two runs or more; {len(records)} given. Type: likewise compare runs/a runs/b"
        )
    names = _names(records)
    differences = tuple(_differences(records, names))
    if differences and not allow_incomparable:
        raise LikewiseError(
            f"These runs were not scored alike, so their numbers cannot be compared: {'; '.join(differences)}. "
            f"Score them by one protocol with `likewise evaluate`, or see them side by side with --allow-incomparable."
        )
    chosen = _chosen_score(records, score)
    curves = [_curve(record, name, chosen) for record, name in zip(records, names, strict=True)] if chosen else []
    speed_ups = tuple(each for curve in curves[1:] for each in _speed_ups(curve, curves[0]))
    comparison = Comparison(records, names, chosen, speed_ups, differences, tuple(comparison_notes(records, names)))
    if out is None:
        return comparison
    return replace(comparison, page=write_compare_page(comparison, Path(out)))


def _names(records: Sequence[RunRecord]) -> tuple[str, ...]:
    names = [record.name for record in records]
    return tuple(
        name if names.count(name) == 1 else str(record.folder.path) for name, record in zip(names, records, strict=True)
    )


def _differences(records: Sequence[RunRecord], names: Sequence[str]) -> list[str]:
    first = records[0]
    return [
        f"{names[0]} and {name}: {reason}"
        for record, name in zip(records[1:], names[1:], strict=True)
        for reason in incomparable(first, record)
    ]


def _chosen_score(records: Sequence[RunRecord], asked: str | None) -> str | None:
    shared = [name for name in online_scores(records[0]) if all(name in online_scores(each) for each in records)]
    if asked is None:
        return shared[0] if shared else None
    if asked not in shared:
        known = did_you_mean(asked, shared) if shared else "They logged none in common."
        raise LikewiseError(f"Not every run logged the score {asked!r} while it learned. {known}")
    return asked


def _curve(record: RunRecord, name: str, score: str) -> Curve:
    lines = record.curve(score)
    keys = [key for key in axes_of(lines) if key in COSTS]
    return Curve(name, [line[score] for line in lines], {key: [line[key] for line in lines] for key in keys})


def _speed_ups(run: Curve, reference: Curve) -> list[SpeedUp]:
    """The run against the reference, and the other way round where the run never gets there."""
    forth = speed_up(run, reference)
    return [forth] if forth.ratios is not None else [forth, speed_up(reference, run)]
