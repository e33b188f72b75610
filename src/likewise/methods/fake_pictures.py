"""Generated images as pictures: a row for each class, then those of no class."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from likewise.methods.illustration import Illustration, Picture

CLASSES = 12
"""rows of classes at most"""
EACH = 6
"""fakes in a row at most"""
BAD_ROWS = 2
"""rows of bad fakes"""

Labelled = tuple[Tensor, Tensor]
"""images [N, C, S, S] and their classes, int64 [N]"""


def draw_fakes(
    classify: Callable[[Tensor], Tensor], real: Labelled, good: Labelled | None, bad: Tensor | None
) -> Illustration | None:
    """Labelled images of a class beside good fakes of it, and rows of bad fakes.

    Args:
        classify: images to logits [N, K].
        real: labelled images.
        good: images made of a class, and that class.
        bad: images [N, C, S, S] that should be of no class.
    """
    rows: list[list[Picture]] = []
    if good is not None:
        sure = classify(good[0]).softmax(dim=1).gather(1, good[1][:, None]).squeeze(1)
        for each in range(min(int(good[1].max()) + 1, CLASSES)):
            rows.append(_of_class(real[0][real[1] == each][:2], good[0][good[1] == each], sure[good[1] == each]))
    if bad is not None:
        take_columns = classify(bad).logsumexp(dim=1).sigmoid()
        shown = range(min(BAD_ROWS * (EACH + 2), len(bad)))
        pictures = [Picture(bad[i], f"{take_columns[i]:.0%}", "bad fakes") for i in shown]
        rows += [pictures[at : at + EACH + 2] for at in range(0, len(pictures), EACH + 2)]
    if not rows:
        return None
    said = (
        "Good fakes are made of a class; to the left are labelled images of it, and below is the chance that the "
        "classifier gives that class. Bad fakes should lie between the classes; below is the chance that the "
        "classifier takes them for real."
    )
    return Illustration("Generated images", said, rows)


def _of_class(real: Tensor, fakes: Tensor, sure: Tensor) -> list[Picture]:
    pictures = [Picture(pixels, "", "labelled") for pixels in real]
    chances = [f"{share:.0%}" for share in sure.tolist()]
    return pictures + [Picture(pixels, said, "good fakes") for pixels, said in zip(fakes[:EACH], chances, strict=False)]
