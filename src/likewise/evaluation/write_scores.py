"""Writes what was scored, and the differences between encoders, into a run's folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from likewise.evaluation.corruptions.corrupted_scores import CorruptedScores
from likewise.evaluation.evaluate_features import Examples
from likewise.evaluation.run_scores import Scored, examples_of
from likewise.evaluation.statistics.confidence import clustered_difference
from likewise.evaluation.statistics.design_effect import with_cluster_adjusted_ci
from likewise.evaluation.statistics.scores import Measurement, Score, ScoreDifference
from likewise.json_files import write_json
from likewise.run_folder import RunFolder


def write_scores(
    run: RunFolder,
    scored: Scored,
    extra: Mapping[str, Sequence[Measurement]],
    corrupted: CorruptedScores | None = None,
    skipped: Mapping[str, str] | None = None,
    differences: Sequence[ScoreDifference] = (),
) -> None:
    """Write ``scores.json``.

    Args:
        run: whose.
        scored: the evaluation.
        extra: further measurements by encoder.
        corrupted: scores on corrupted images.
        skipped: files that are in no score, each with its reason.
        differences: between the encoders' further measurements.
    """
    content = scored.evaluation.to_json()
    content["unread"] = {**(skipped or {}), **content["unread"]}
    if scored.segmentation is not None:
        _add_scores(content, scored.segmentation.scores, scored.segmentation.differences)
        content["iou"] = scored.segmentation.per_class
    _add_measurements(content, extra, examples_of(scored.scored_on))
    content["differences"] += _as_json([*_differences_of_hits(extra), *differences])
    if corrupted is not None:
        _add_scores(content, corrupted.scores(), corrupted.differences())
        content["corruptions"] = corrupted.to_json()
    write_json(run.scores, content)


def _add_scores(
    content: dict[str, Any],
    by_encoder: Mapping[str, Sequence[Score]],
    differences: Iterable[ScoreDifference],
) -> None:
    for who, scores in by_encoder.items():
        content[who] += [score.to_json() for score in scores]
    content["differences"] += _as_json(differences)


def _add_measurements(
    content: dict[str, Any],
    extra: Mapping[str, Sequence[Measurement]],
    test: Examples,
) -> None:
    """Scores with the intervals that groups of test images ask for, and calibrations."""
    for who, measurements in extra.items():
        calibrations = content["calibration"].setdefault(who, {})
        for measurement in measurements:
            score = with_cluster_adjusted_ci(measurement, test.labels, test.groups).score
            content[who].append(score.to_json())
            if measurement.calibration:
                calibrations[score.name] = measurement.calibration.to_json()


def _as_json(differences: Iterable[ScoreDifference]) -> list[dict[str, Any]]:
    return [difference._asdict() for difference in differences]


def _differences_of_hits(
    by_encoder: Mapping[str, Sequence[Measurement]],
) -> Iterator[ScoreDifference]:
    """Paired differences of retrieval scores, the trained encoder's minus each baseline's."""
    trained = {
        measurement.score.name: measurement.hits for measurement in by_encoder.get("trained", ())
    }
    for who, measurements in by_encoder.items():
        if who == "trained":
            continue
        for measurement in measurements:
            name = measurement.score.name
            hits = trained.get(name)
            other = measurement.hits
            if hits is not None and other is not None and len(hits.right) == len(other.right):
                interval = clustered_difference(hits.right, other.right, hits.owner)
                yield ScoreDifference(name, who, *interval)
