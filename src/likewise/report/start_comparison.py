"""Whether training took something from the weights that a run started from."""

from __future__ import annotations

from collections.abc import Sequence

from likewise.evaluation.statistics.scores import ScoreDifference
from likewise.report.wording import is_main, listed, points, score_name


def worse_than_start(differences: Sequence[ScoreDifference]) -> str:
    """A sentence that names the scores that training made worse, and a remedy; empty where there are none.

    A score is worse where the whole 95% interval of the paired difference is below 0.

    Args:
        differences: of the trained encoder over others, on the same test images.
    """
    lost = [each for each in differences if each.over == "start" and is_main(each.name) and each.high < 0]
    if not lost:
        return ""
    scores = listed([f"{score_name(each.name)} {points(each.value)}" for each in lost])
    return (
        f"The trained encoder is worse than its pretrained start: {scores}. Train with --on-decline rollback, which "
        f"keeps the better weights, or with a lower --recipe.learning-rate."
    )
