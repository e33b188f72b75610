"""Confidence intervals of accuracies, and of paired differences of accuracies.

Two forms serve every score. An accuracy gets Wilson's interval, at the effective sample size where its variance is
not that of independent images. A difference gets a symmetric interval around an estimate to which one disagreement of
each kind is added, so that two equal encoders are not taken for certainly equal.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

CONFIDENCE = 0.95
"""chance that an interval covers the truth"""

WILSON = "Wilson 1927 score interval over test images, 95%"
CLASS_MEAN = "Wilson interval at the effective sample size of a mean over classes, 95%"
IMAGE_MEAN = "Wilson interval at the effective sample size of a mean over test clips, 95%"
REPEATED = (
    "Wilson interval at the effective sample size of test images each answered several times, 95%"
)
CROSSED = "Wilson interval at the effective sample size of draws crossed with test images, t quantile, 95%"


class Interval(NamedTuple):
    """An estimate and the range that holds the truth in 95 of 100 such studies."""

    value: float
    low: float
    high: float


def wilson(share: float, count: float, quantile: float | None = None) -> Interval:
    """Interval around one accuracy.

    (p + q^2/2n +- q sqrt(p(1-p)/n + q^2/4n^2)) / (1 + q^2/n), Wilson 1927, Probable inference, the law of
    succession, and statistical inference, https://doi.org/10.1080/01621459.1927.10502953. Unlike p +- q sqrt(p(1-p)/n)
    it keeps to [0, 1], and neither a test set of one image nor an accuracy of 1 makes it collapse.

    Args:
        share: accuracy in [0, 1].
        count: test images; need not be whole where it is an effective sample size.
        quantile: q; None takes the normal one.
    """
    q = _t_quantile(math.inf) if quantile is None else quantile
    shrink = 1 + q * q / count
    centre = (share + q * q / (2 * count)) / shrink
    variance = share * (1 - share) / count
    half = q * math.sqrt(variance + q * q / (4 * count * count)) / shrink
    # Rounding may leave an end a hair outside [0, 1], or on the wrong side of the estimate.
    low = min(max(centre - half, 0.0), share)
    high = max(min(centre + half, 1.0), share)
    return Interval(share, low, high)


def accuracy(predictions: Tensor, labels: Tensor) -> tuple[Interval, int]:
    """Top-1 accuracy with Wilson's interval, and the number of labelled images that it is over."""
    known = labels >= 0
    correct = (predictions == labels)[known]
    return wilson(float(correct.double().mean()), len(correct)), len(correct)


def class_mean_accuracy(correct: Tensor, labels: Tensor) -> Interval:
    """Mean over classes of each class's accuracy, with an interval for new test images of each class.

    The variance is that of a stratified sample, the sum over the C classes of p (1 - p) / n / C^2. One image right and
    one wrong are added to each class for the variance alone, so that a class of few images which are all right is not
    taken for certain.

    Args:
        correct: bool [N], whether each image was right.
        labels: int64 [N], the class of each.
    """
    classes = by_class(correct, labels)
    cautious = (classes.sums + 1) / (classes.counts + 2)  # [C]
    mean = cautious.mean()
    of_classes = cautious * (1 - cautious) / classes.counts  # [C], variances
    variance = of_classes.sum() / len(classes.counts) ** 2
    value = float((classes.sums / classes.counts).mean())
    return wilson(value, float(mean * (1 - mean) / variance))


def image_mean(shares: Tensor, answers: float = math.inf) -> Interval:
    """Mean of a share from 0 to 1 for each image, with an interval for new images.

    Args:
        shares: float [N].
        answers: how many right-or-wrong answers the shares are made of in all; the effective sample size is no larger.
    """
    shares = shares.double()
    images = len(shares)
    value = float(shares.mean())
    variance = float(shares.var(unbiased=True)) / images if images > 1 else 0.0
    return wilson(value, _effective_size(value, variance, images, answers))


def repeated_accuracy(correct: Tensor) -> Interval:
    """Mean of several answers to each test image, with an interval for new images under the same conditions.

    Args:
        correct: bool [R, N], whether answer r to image n was right, for instance under corruption r.
    """
    return image_mean(correct.double().mean(dim=0), correct.numel())


def crossed_accuracy(correct: Tensor) -> Interval:
    """Accuracy averaged over draws of the labelled images, with an interval for new draws and new test images.

    Args:
        correct: bool [R, N], whether the probe of draw r was right on image n.
    """
    mean, variance, freedom = crossed_mean(correct)
    effective = _effective_size(mean, variance, correct.shape[1], correct.numel())
    return wilson(mean, effective, _t_quantile(freedom))


def _effective_size(mean: float, variance: float, images: int, answers: float) -> float:
    """The number of independent images whose accuracy would vary as much: p (1 - p) / variance."""
    # All right or all wrong: several answers to one image that agree count as one.
    if variance <= 0:
        return images
    return min(mean * (1 - mean) / variance, answers)


def paired_difference(first: Tensor, second: Tensor, labels: Tensor | None = None) -> Interval:
    """Accuracy of the first encoder minus the second's, on the same test images.

    The adjusted Wald interval of Bonett and Price 2012, https://doi.org/10.3102/1076998611411915: add one image to
    each of the two kinds of disagreement, then treat the difference as normal. Only images on which the two disagree
    carry information, which is why this is narrower than what two separate intervals suggest. Of a mean over C
    classes, each class's difference is taken so; the two added images are divided over the classes.

    Args:
        first: bool [N], whether the first encoder was right.
        second: bool [N], the same images in the same order.
        labels: int64 [N], the class of each, where the accuracies are means over classes; None: means over images.
    """
    won = by_class(first & ~second, labels)
    lost = by_class(second & ~first, labels)
    classes = len(won.counts)
    adjusted_count = won.counts + 2 / classes  # [C]
    gain = (won.sums + 1 / classes) / adjusted_count
    loss = (lost.sums + 1 / classes) / adjusted_count
    centre = float((gain - loss).mean())
    of_classes = (gain + loss - (gain - loss) ** 2) / adjusted_count  # [C], variances
    variance = float(of_classes.sum() / classes**2)
    value = float(((won.sums - lost.sums) / won.counts).mean())
    return _around(value, centre, variance, _t_quantile(math.inf))


def repeated_difference(first: Tensor, second: Tensor) -> Interval:
    """Mean of several answers to each image by the first encoder, minus the second's to the same.

    Args:
        first: bool [R, N], as for `repeated_accuracy`.
        second: bool [R, N].
    """
    shares = first.double().mean(dim=0) - second.double().mean(dim=0)  # [N]
    images = len(shares)
    # One image of each kind of disagreement is added, as in paired_difference.
    adjusted_count = images + 2
    mean_square = (shares.square().sum() + 2) / adjusted_count
    adjusted_mean = shares.sum() / adjusted_count
    variance = float(mean_square - adjusted_mean**2) / adjusted_count
    mean = float(shares.mean())
    return _around(mean, mean, variance, _t_quantile(math.inf))


def crossed_difference(first: Tensor, second: Tensor) -> Interval:
    """Accuracy of the first encoder minus the second's, averaged over the same draws of labels and the same images.

    Args:
        first: bool [R, N], as for `crossed_accuracy`.
        second: bool [R, N].
    """
    mean, variance, freedom = crossed_mean(first.double() - second.double())
    variance += _added_disagreements(first.shape[1])
    return _around(mean, mean, variance, _t_quantile(freedom))


def clustered_difference(first: Tensor, second: Tensor, owner: Tensor) -> Interval:
    """Share of the first's queries that were answered rightly minus the second's, where images have several each.

    A ratio estimator over images: the queries of one are not independent (Liang and Zeger 1986,
    https://doi.org/10.1093/biomet/73.1.13, with working independence).

    Args:
        first: bool [M].
        second: bool [M], the same queries in the same order.
        owner: int64 [M], the image of each, 0 to N - 1.
    """
    images = int(owner.max()) + 1
    difference = first.double() - second.double()  # [M]
    mean = difference.mean()
    by_image = torch.zeros(images, dtype=torch.float64).index_add_(0, owner, difference - mean)
    freedom = max(images - 1, 1)
    variance = float(by_image.square().sum()) / len(first) ** 2 * images / freedom
    variance += _added_disagreements(images)
    return _around(float(mean), float(mean), variance, _t_quantile(freedom))


def _added_disagreements(images: int) -> float:
    """The variance that one image of each kind of disagreement adds, as in `paired_difference`."""
    return 2 / (images + 2) ** 2


def _around(value: float, centre: float, variance: float, quantile: float) -> Interval:
    """A difference with the interval of so many standard deviations about its centre, within [-1, 1]."""
    half = quantile * math.sqrt(variance)
    return Interval(value, max(centre - half, -1.0), min(centre + half, 1.0))


class CrossedMean(NamedTuple):
    """Mean of a draws x images table, and how uncertain that mean is."""

    mean: float
    variance: float
    freedom: float
    """degrees of freedom of the variance"""


def crossed_mean(table: Tensor) -> CrossedMean:
    """Mean over draws and images, where either might have come out differently.

    Two-way analysis of variance with both factors random: the variances of the R row means and of the N column means,
    each over its count, less the interaction's share, which both contain. Freedom after Satterthwaite 1946,
    https://doi.org/10.2307/3002019. With one draw nothing is known about draws: the variance is that over images alone.

    Args:
        table: float [R, N], outcome of draw r on image n.
    """
    table = table.double()
    draws, images = table.shape
    mean = table.mean()
    rows = table.mean(dim=1, keepdim=True)  # [R, 1]
    columns = table.mean(dim=0, keepdim=True)  # [1, N]
    interaction = table - rows - columns + mean  # [R, N]
    draw_freedom = max(draws - 1, 1)
    image_freedom = max(images - 1, 1)
    both_freedom = max((draws - 1) * (images - 1), 1)
    by_draw = float((rows - mean).square().sum()) / draw_freedom / draws
    by_image = float((columns - mean).square().sum()) / image_freedom / images
    both = float(interaction.square().sum()) / both_freedom / (draws * images)
    variance = max(by_draw + by_image - both, by_draw, by_image)
    weight = by_draw**2 / draw_freedom + by_image**2 / image_freedom + both**2 / both_freedom
    freedom = variance**2 / weight if weight > 0 else math.inf
    return CrossedMean(float(mean), variance, freedom)


class ClassSums(NamedTuple):
    """Sums over the images of each class that occurs."""

    sums: Tensor
    """float64 [C]"""
    counts: Tensor
    """float64 [C], images of each class"""
    positions: Tensor
    """int64 [N], which of the C classes each image belongs to"""


def by_class(values: Tensor, labels: Tensor | None) -> ClassSums:
    """Sums of values [N] by the class of each image, int64 [N]; None: all are of one class."""
    if labels is None:
        labels = torch.zeros(len(values), dtype=torch.int64)
    _, index, counts = labels.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), dtype=torch.float64)
    sums.index_add_(0, index, values.double())
    return ClassSums(sums, counts.double(), index)


def _t_quantile(freedom: float) -> float:
    """The quantile of Student's t distribution; of the normal one for infinitely many degrees of freedom."""
    from scipy.special import ndtri, stdtrit  # SciPy's import waits until it is needed

    tail = 0.5 + CONFIDENCE / 2
    return float(ndtri(tail)) if math.isinf(freedom) else float(stdtrit(freedom, tail))
