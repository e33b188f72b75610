"""What a run can do that learned from more than pixels: scores against texts and against sounds."""

from __future__ import annotations

from likewise.evaluation.run_scores import Scored
from likewise.evaluation.sound_scores import sound_scores
from likewise.evaluation.statistics.scores import Measurement
from likewise.evaluation.text_scores import text_scores
from likewise.run_folder import RunFolder
from likewise.training.splits import Split


def multimodal_scores(
    run: RunFolder, scored: Scored, test: Split | None, seed: int, target: RunFolder | None = None
) -> dict[str, list[Measurement]]:
    """Scores by encoder, without predictions of classes; none for a run that learned from pixels alone.

    Args:
        run: where the space lies that the run's networks share with texts or with sounds.
        scored: the encoders.
        test: the test images.
        seed: of the untrained networks beside the baselines.
        target: where what was found is kept for the page; None: in the run.
    """
    asked = run, scored, test, seed, target or run
    return text_scores(*asked) | sound_scores(*asked)
