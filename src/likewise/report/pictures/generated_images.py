"""UGAN on a page: generated images, a row for each class, then those of no class."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from likewise.data.batch import Batch
from likewise.methods import Nets, Progress
from likewise.methods.method import classify, one_view
from likewise.methods.ugan import UGAN
from likewise.report.pictures.illustration import Illustration, Picture

CLASSES = 12
"""rows of classes at most"""
REAL = 2
"""labelled images in a row at most"""
FAKES = 6
"""generated images in a row at most"""
BAD_ROWS = 2
"""rows of bad fakes"""
EXPLANATION = (
    "Good fakes are generated for a class; the images before them are labelled images of that class. The number is the "
    "probability that the classifier gives the class. Bad fakes should lie between the classes; their number is the "
    "probability that the classifier calls them real."
)

Labelled = tuple[Tensor, Tensor]
"""images [N, C, S, S] and their classes, int64 [N]"""


def illustrate_fakes(
    method: UGAN, nets: Nets, batch: Batch, progress: Progress
) -> Illustration | None:
    """Good fakes of each class and bad fakes, with the classifier's probabilities; None without a generator."""
    good = method.good_fakes(nets, batch, progress) if method.good else None
    bad = method.bad_fakes(nets, batch, progress) if method.bad else None
    real = batch if batch.support is None else batch.support
    labelled = one_view(method.views, real, progress), real.labels
    return draw_fakes(lambda pixels: classify(method, nets, pixels), labelled, good, bad)


def draw_fakes(
    classify: Callable[[Tensor], Tensor], real: Labelled, good: Labelled | None, bad: Tensor | None
) -> Illustration | None:
    """Labelled images of a class with good fakes of it, and rows of bad fakes.

    Args:
        classify: images to logits [N, K].
        real: labelled images.
        good: images generated for a class, and that class.
        bad: images [N, C, S, S] that should be of no class.
    """
    rows: list[list[Picture]] = []
    if good is not None:
        rows += _good_rows(classify, real, good)
    if bad is not None:
        rows += _bad_rows(classify, bad)
    return Illustration("Generated images", EXPLANATION, rows) if rows else None


def _good_rows(
    classify: Callable[[Tensor], Tensor],
    real: Labelled,
    good: Labelled,
) -> list[list[Picture]]:
    real_images, real_classes = real
    images, classes = good
    probabilities = classify(images).softmax(dim=1)  # [N, K]
    probability = probabilities.gather(1, classes[:, None]).squeeze(1)  # [N], of its own class
    rows = []
    for label in range(min(int(classes.max()) + 1, CLASSES)):
        chosen = (classes == label).nonzero().flatten()[:FAKES]
        of_class = real_images[real_classes == label]
        row = [Picture(pixels, "", "labelled") for pixels in of_class[:REAL]]
        for i in chosen.tolist():
            row.append(Picture(images[i], f"{probability[i]:.0%}", "good fakes"))
        rows.append(row)
    return rows


def _bad_rows(classify: Callable[[Tensor], Tensor], bad: Tensor) -> list[list[Picture]]:
    # A classifier of K classes calls an image real with sigmoid(logsumexp of its logits): Salimans et al. 2016.
    called_real = classify(bad).logsumexp(dim=1).sigmoid()  # [N]
    width = REAL + FAKES
    drawn = bad[: BAD_ROWS * width]
    pictures = [
        Picture(pixels, f"{probability:.0%}", "bad fakes")
        for pixels, probability in zip(drawn, called_real.tolist(), strict=False)
    ]
    return [pictures[start : start + width] for start in range(0, len(pictures), width)]
