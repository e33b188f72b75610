"""Whether training gave something to the weights that a run started from, or took something from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from likewise.evaluation.statistics.scores import Score, ScoreDifference
from likewise.report.wording import is_main, listed, percent, points, score_name


def start_warnings(
    scores: Mapping[str, Sequence[Score]], differences: Sequence[ScoreDifference]
) -> list[str]:
    """What whoever uses the encoder must know: sentences where training gained nothing, or lost something.

    Args:
        scores: by encoder: trained, start, untrained.
        differences: of the trained encoder over others, on the same test images.
    """
    sentences = (no_better_than_start(scores, differences), worse_than_start(differences))
    return [sentence for sentence in sentences if sentence]


def worse_than_start(differences: Sequence[ScoreDifference]) -> str:
    """A sentence that names the scores that training made worse, and a remedy; empty where there are none.

    A score is worse where the whole 95% interval of the paired difference is below 0.

    Args:
        differences: of the trained encoder over others, on the same test images.
    """
    of_start = [each for each in differences if each.over == "start" and is_main(each.name)]
    lost = [each for each in of_start if each.high < 0]
    if not lost:
        return ""
    scores = listed([f"{score_name(each.name)} {points(each.value)}" for each in lost])
    return (
        f"The trained encoder is worse than its pretrained start: {scores}. Train with --on-decline rollback, which "
        f"keeps the better weights, or with a lower --recipe.learning-rate."
    )


STARTS = {
    "start": "its pretrained start, frozen",
    "untrained": "the same network with untrained weights",
}
"""What a run is compared with, the first that was scored."""


def no_better_than_start(
    scores: Mapping[str, Sequence[Score]], differences: Sequence[ScoreDifference]
) -> str:
    """A sentence where training gained nothing that the run's own scores show; empty where a score is better.

    A score is better where the whole 95% interval of the paired difference is above 0; where nothing was paired, where
    the two intervals do not overlap.

    Args:
        scores: by encoder: trained, start, untrained.
        differences: of the trained encoder over others, on the same test images.
    """
    start = next((who for who in STARTS if scores.get(who)), "")
    before = {score.name: score for score in scores.get(start, ())}
    paired = {each.name: each.low for each in differences if each.over == start}
    found = []
    any_higher = False
    for score in scores.get("trained", ()):
        other = before.get(score.name)
        if other is None or not is_main(score.name):
            continue
        if paired.get(score.name, score.low - other.high) > 0:
            return ""
        any_higher = any_higher or score.value > other.value
        found.append(
            f"{score_name(score.name)} {percent(score.value)} against {percent(other.value)}"
        )
    if not found:
        return ""
    # Higher numbers next to "no better" would read as a contradiction.
    why = (
        " What is higher may be chance: the 95% intervals do not exclude it." if any_higher else ""
    )
    return f"This model is no better than {STARTS[start]}, by its own scores: {listed(found)}.{why}"
