"""How far a measured accuracy may lie from the true one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.special import ndtri, stdtrit
from torch import Tensor

from likewise.randomness import generator

WILSON = "Wilson 1927 score interval over test images, 95 %"
CLASS_MEAN = "Wilson interval at the effective sample size of a mean over classes, 95 %"
REPEATED = "Wilson interval at the effective sample size of test images each answered several times, 95 %"
CROSSED = "Wilson interval at the effective sample size of draws crossed with test images, t quantile, 95 %"


class Interval(NamedTuple):
    """An estimate and the range that holds the truth in 95 of 100 such studies."""

    value: float
    low: float
    high: float


def wilson(share: float, count: float, quantile: float | None = None, confidence: float = 0.95) -> Interval:
    """Interval around one accuracy.

    (p + q^2/2n +- q sqrt(p(1-p)/n + q^2/4n^2)) / (1 + q^2/n), Wilson 1927, Probable inference, the law of
    succession, and statistical inference, https://doi.org/10.1080/01621459.1927.10502953. Unlike p +- q sqrt(p(1-p)/n)
    it keeps to [0, 1], and neither a test set of one image nor an accuracy of 1 makes it collapse.

    Args:
        share: accuracy in [0, 1].
        count: test images; need not be whole where it is an effective sample size.
        quantile: q; ``None`` takes the normal one for ``confidence``.
        confidence: chance that the interval covers the true accuracy.
    """
    q = float(ndtri(0.5 + confidence / 2)) if quantile is None else quantile
    shrink = 1 + q * q / count
    centre = (share + q * q / (2 * count)) / shrink
    half = q * math.sqrt(share * (1 - share) / count + q * q / (4 * count * count)) / shrink
    # Rounding may leave an end a hair outside [0, 1], or on the wrong side of the estimate.
    return Interval(share, min(max(centre - half, 0.0), share), max(min(centre + half, 1.0), share))


def paired_difference(first: Tensor, second: Tensor, confidence: float = 0.95) -> Interval:
    """Accuracy of the first encoder minus the second's, on the same test images.

    The adjusted Wald interval of Bonett and Price 2012, https://doi.org/10.3102/1076998611411915: add one image to
    each of the two kinds of disagreement, then treat the difference as normal. Only images on which the two disagree
    carry information, which is why this is narrower than what two separate intervals suggest.

    Args:
        first: bool [N], whether the first encoder was right.
        second: bool [N], the same images in the same order.
        confidence: chance that the interval covers the true difference.
    """
    count, won, lost = len(first), int((first & ~second).sum()), int((second & ~first).sum())
    gain, loss = (won + 1) / (count + 2), (lost + 1) / (count + 2)
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt((gain + loss - (gain - loss) ** 2) / (count + 2))
    return Interval((won - lost) / count, max(gain - loss - half, -1.0), min(gain - loss + half, 1.0))


def clustered_difference(first: Tensor, second: Tensor, owner: Tensor, confidence: float = 0.95) -> Interval:
    """Share of the first's queries that were answered rightly minus the second's, where images have several each.

    A ratio estimator over images: the queries of one are not independent (Liang and Zeger 1986,
    https://doi.org/10.1093/biomet/73.1.13, with working independence). One image of each kind of disagreement is
    added to the variance, as in `crossed_difference`.

    Args:
        first: bool [M].
        second: bool [M], the same queries in the same order.
        owner: int64 [M], the image of each, 0 to N - 1.
        confidence: chance that the interval covers the true difference.
    """
    count, images = len(first), int(owner.max()) + 1
    mean = float((first.double() - second.double()).mean())
    apart = torch.zeros(images, dtype=torch.float64).index_add_(0, owner, first.double() - second.double() - mean)
    variance = float(apart.square().sum()) / count**2 * images / max(images - 1, 1)
    half = _t_quantile(max(images - 1, 1), confidence) * math.sqrt(variance + 2 / (images + 2) ** 2)
    return Interval(mean, max(mean - half, -1.0), min(mean + half, 1.0))


class Crossed(NamedTuple):
    """Mean of a draws x images table, and how uncertain that mean is."""

    mean: float
    variance: float
    freedom: float


def crossed_mean(table: Tensor) -> Crossed:
    """Mean over draws and images, where either might have come out differently.

    Two-way analysis of variance with both factors random: the variances of the R row means and of the N column means,
    each over its count, less the interaction's share, which both contain. Freedom after Satterthwaite 1946,
    https://doi.org/10.2307/3002019. With one draw nothing is known about draws: the variance is that over images alone.

    Args:
        table: float [R, N], outcome of draw r on image n.
    """
    table = table.double()
    draws, images = table.shape
    mean, rows, columns = table.mean(), table.mean(dim=1, keepdim=True), table.mean(dim=0, keepdim=True)
    squares = (
        (rows - mean).square().sum(),
        (columns - mean).square().sum(),
        (table - rows - columns + mean).square().sum(),
    )
    counts = (draws, images, draws * images)
    free = (draws - 1, images - 1, (draws - 1) * (images - 1))
    by_draw, by_image, both = (
        float(square) / max(freedom, 1) / count for square, freedom, count in zip(squares, free, counts, strict=True)
    )
    variance = max(by_draw + by_image - both, by_draw, by_image)
    weight = sum(part**2 / max(freedom, 1) for part, freedom in zip((by_draw, by_image, both), free, strict=True))
    return Crossed(float(mean), variance, variance**2 / weight if weight > 0 else math.inf)


def crossed_accuracy(correct: Tensor, confidence: float = 0.95) -> Interval:
    """Interval around an accuracy averaged over draws of the labelled images, for new draws and new test images.

    Wilson's interval at the effective sample size p(1-p) / variance, with a t quantile (the design-effect form that
    surveys use), so it keeps to [0, 1].

    Args:
        correct: bool [R, N], whether the probe of draw r was right on image n.
        confidence: chance that the interval covers the true mean accuracy.
    """
    mean, variance, freedom = crossed_mean(correct)
    # All right or all wrong: draws that agree tell no more than one of them.
    effective = min(mean * (1 - mean) / variance, correct.numel()) if variance > 0 else correct.shape[1]
    return wilson(mean, effective, _t_quantile(freedom, confidence))


def crossed_difference(first: Tensor, second: Tensor, confidence: float = 0.95) -> Interval:
    """The same for the difference of two encoders probed with the same draws on the same images.

    Args:
        first: bool [R, N].
        second: bool [R, N].
        confidence: chance that the interval covers the true difference.
    """
    mean, variance, freedom = crossed_mean(first.double() - second.double())
    images = first.shape[1]
    # One image of each kind of disagreement, as in paired_difference: two equal encoders are not known to be equal.
    half = _t_quantile(freedom, confidence) * math.sqrt(variance + 2 / (images + 2) ** 2)
    return Interval(mean, max(mean - half, -1.0), min(mean + half, 1.0))


def class_mean_accuracy(correct: Tensor, labels: Tensor, confidence: float = 0.95) -> Interval:
    """Mean over classes of the share of each that was right, with an interval for new test images of each class.

    The variance is that of a stratified sample, the sum over the C classes of p (1 - p) / n / C^2. Wilson's interval is
    then taken at the effective sample size, as in ``crossed_accuracy``. One image right and one wrong are added to each
    class for the variance alone, so that a class of few images which are all right is not taken for certain.

    Args:
        correct: bool [N], whether each image was right.
        labels: int64 [N], the class of each.
        confidence: chance that the interval covers the true mean.
    """
    right, count = _by_class(correct, labels)
    cautious = (right + 1) / (count + 2)
    mean, variance = cautious.mean(), (cautious * (1 - cautious) / count).sum() / len(count) ** 2
    value = float((right / count).mean())
    return wilson(value, float(mean * (1 - mean) / variance), confidence=confidence)


def class_mean_difference(first: Tensor, second: Tensor, labels: Tensor, confidence: float = 0.95) -> Interval:
    """Mean over classes of the first encoder's accuracy minus the second's, on the same test images.

    ``paired_difference`` within each class, averaged over classes: the two added images are shared out among them.

    Args:
        first: bool [N], whether the first encoder was right.
        second: bool [N], the same images in the same order.
        labels: int64 [N], the class of each.
        confidence: chance that the interval covers the true difference.
    """
    won, count = _by_class(first & ~second, labels)
    lost, _ = _by_class(second & ~first, labels)
    classes = len(count)
    gain, loss = ((part + 1 / classes) / (count + 2 / classes) for part in (won, lost))
    variance = ((gain + loss - (gain - loss) ** 2) / (count + 2 / classes)).sum() / classes**2
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt(float(variance))
    middle = float((gain - loss).mean())
    return Interval(float(((won - lost) / count).mean()), max(middle - half, -1.0), min(middle + half, 1.0))


def _by_class(chosen: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """How many images of each class that occurs are chosen, and how many it has: float64 [C] each."""
    _, place, count = labels.unique(return_inverse=True, return_counts=True)
    return torch.zeros(len(count), dtype=torch.float64).index_add_(0, place, chosen.double()), count.double()


def repeated_accuracy(correct: Tensor, confidence: float = 0.95) -> Interval:
    """Mean of several answers to each test image, with an interval for new images under the same questions.

    Args:
        correct: bool [R, N], whether answer r to image n was right, for instance under corruption r.
        confidence: chance that the interval covers the true mean.
    """
    shares, images = correct.double().mean(dim=0), correct.shape[1]
    value, variance = float(shares.mean()), float(shares.var(unbiased=True)) / images if images > 1 else 0.0
    # All right or all wrong: answers to one image that agree tell no more than one of them.
    effective = min(value * (1 - value) / variance, correct.numel()) if variance > 0 else images
    return wilson(value, effective, confidence=confidence)


def repeated_difference(first: Tensor, second: Tensor, confidence: float = 0.95) -> Interval:
    """The same for the difference of two encoders asked the same of the same images.

    Args:
        first: bool [R, N].
        second: bool [R, N].
        confidence: chance that the interval covers the true difference.
    """
    shares = first.double().mean(dim=0) - second.double().mean(dim=0)
    images = len(shares)
    # One image of each kind of disagreement, as in paired_difference.
    variance = float((shares.square().sum() + 2) / (images + 2) - (shares.sum() / (images + 2)) ** 2) / (images + 2)
    half, mean = float(ndtri(0.5 + confidence / 2)) * math.sqrt(variance), float(shares.mean())
    return Interval(mean, max(mean - half, -1.0), min(mean + half, 1.0))


def bootstrapped(
    tables: Tensor,
    statistic: Callable[[Tensor], Tensor],
    seed: int = 0,
    draws: int = 1000,
    confidence: float = 0.95,
) -> Interval:
    """A statistic of summed tables with its percentile interval over images drawn anew, with replacement.

    Efron 1979, https://doi.org/10.1214/aos/1176344552: for what is no mean over images, as the mean intersection over
    union. The same seed draws the same images, so two encoders are compared on equal draws.

    Args:
        tables: [N, ...], one an image.
        statistic: sums of tables [R, ...] -> [R].
        seed: of the draws.
        draws: how many.
        confidence: share of the draws between the ends.
    """
    images = len(tables)
    drawn = torch.randint(images, (draws, images), generator=generator(seed, "bootstrap"))
    counts = torch.zeros(draws, images, dtype=torch.float64).scatter_add_(1, drawn, torch.ones_like(drawn).double())
    sums = (counts @ tables.double().flatten(1)).unflatten(1, tables.shape[1:])
    found = statistic(sums)
    tail = (1 - confidence) / 2
    low, high = found[~found.isnan()].quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    value = float(statistic(tables.double().sum(dim=0, keepdim=True)))
    return Interval(value, min(low, value), max(high, value))


def _t_quantile(freedom: float, confidence: float) -> float:
    tail = 0.5 + confidence / 2
    return float(ndtri(tail)) if math.isinf(freedom) else float(stdtrit(freedom, tail))


def accuracy(predictions: Tensor, labels: Tensor) -> tuple[Interval, int]:
    """Top-1 accuracy with Wilson's interval, and the labelled images that it was taken over."""
    known = labels >= 0
    correct = (predictions == labels)[known]
    return wilson(float(correct.double().mean()), len(correct)), int(torch.count_nonzero(known))
