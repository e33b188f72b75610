"""Probes for images with several classes or with numbers: mean average precision, R^2 and the mean absolute error."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from likewise.data.columns.targets import TargetColumn, targets_in
from likewise.data.splits import Split
from likewise.evaluation.features import extract_readable
from likewise.evaluation.run_scores import Scored
from likewise.evaluation.statistics.bootstrap import percentiles, resampled_counts
from likewise.evaluation.statistics.scores import (
    NO_PREDICTIONS,
    Measurement,
    Score,
    ScoreDifference,
)
from likewise.randomness import generator
from likewise.views.centre_view import CentreView

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

INTERVAL = "percentile bootstrap over test images, 95 %"
INVERSE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""values of C, of which cross-validation takes the one with the highest mean average precision"""
ALPHAS = tuple(float(alpha) for alpha in np.logspace(-2, 5, 15))
"""penalties of the ridge regression, of which leave-one-out cross-validation takes the best"""
FEWEST = 10
"""training images with known targets below which no probe is fitted"""


class TargetScores(NamedTuple):
    """Scores against targets."""

    measurements: dict[str, list[Measurement]]
    """by encoder; empty where the data have no targets"""
    differences: list[ScoreDifference]
    """the trained encoder's minus each baseline's, on the same resampled test images"""


class Known(NamedTuple):
    """Features and targets of the images whose targets are known."""

    features: np.ndarray
    """float32 [N, D]"""
    targets: np.ndarray
    """float32 [N, T]"""


def target_scores(scored: Scored, train: Split, seed: int) -> TargetScores:
    """Scores of every encoder by a probe on its frozen features, fitted on the training images.

    Several classes: one logistic regression a class on standardised features, scored by macro mean average precision
    over the classes that test images have (``multilabel_map``). Numbers: ridge regression, scored by R^2
    (``regression_r2``, uniform average over the numbers); its protocol holds the mean absolute error in the targets'
    own unit.

    Args:
        scored: the encoders, and the test images that could be read.
        train: the training images.
        seed: of the bootstrap.
    """
    test = scored.test
    if (
        test is None
        or targets_in(train.manifest.columns) is None
        or targets_in(test.manifest.columns) is None
    ):
        return TargetScores({}, [])
    samples: dict[str, dict[str, Sampled]] = {}
    for who, encoder in scored.encoders.items():
        fitted_on = _known(encoder, train, scored)
        scored_on = _known(encoder, test, scored)
        samples[who] = _measure(fitted_on, scored_on, _column(train), seed)
    measurements = {}
    for who, by_name in samples.items():
        measurements[who] = [
            Measurement(sampled.score, NO_PREDICTIONS) for sampled in by_name.values()
        ]
    return TargetScores(measurements, _differences(samples))


class Sampled(NamedTuple):
    """A score with its bootstrap samples."""

    score: Score
    samples: Tensor
    """float64 [R]"""


def _column(split: Split) -> TargetColumn:
    column = targets_in(split.manifest.columns)
    assert column is not None
    return column


def _known(encoder: torch.nn.Module, split: Split, scored: Scored) -> Known:
    column = _column(split)
    rows = np.flatnonzero(column.present())
    view = CentreView(scored.image_size)
    found = extract_readable(
        encoder, split.images, torch.from_numpy(rows), view, device=scored.device
    )
    return Known(found.vectors.numpy(), column.values[found.positions.numpy()])


def _measure(train: Known, test: Known, column: TargetColumn, seed: int) -> dict[str, Sampled]:
    """Every score of one encoder; none where too few targets are known."""
    if len(train.targets) < FEWEST or len(test.targets) < 2:
        return {}
    bootstrap_counts = resampled_counts(len(test.targets), generator(seed, "bootstrap"))  # [R, N]
    if column.task == "multilabel":
        return _measure_multilabel(train, test, bootstrap_counts)
    return _measure_regression(train, test, bootstrap_counts)


def _measure_multilabel(train: Known, test: Known, bootstrap_counts: Tensor) -> dict[str, Sampled]:
    """Macro mean average precision over the classes that some, not all, training images have and test images have."""
    # scikit-learn takes a second to import, which most commands do without
    from sklearn.metrics import average_precision_score

    scorable = _both(train.targets) & (test.targets.sum(axis=0) > 0)
    if not scorable.any():
        return {}
    wanted = train.targets[:, scorable].astype(int)
    truth = test.targets[:, scorable].astype(int)
    inverse_strength, validation = _best_strength(train.features, wanted)
    probe = _multilabel_probe(inverse_strength).fit(train.features, wanted)
    scores = probe.decision_function(test.features).reshape(truth.shape)  # [N, T]
    value = float(average_precision_score(truth, scores, average="macro"))
    samples = torch.stack(
        [_weighted_map(truth, scores, weight) for weight in bootstrap_counts.numpy()]
    )
    protocol = {
        "C": inverse_strength,
        "validation_map": validation,
        "classes": int(scorable.sum()),
        "interval": INTERVAL,
    }
    return {"multilabel_map": _sampled("multilabel_map", value, samples, len(truth), protocol)}


def _both(targets: np.ndarray) -> np.ndarray:
    """Bool [T]: the classes that some images have and others lack."""
    share = targets.mean(axis=0)
    return np.asarray((share > 0) & (share < 1))


def _multilabel_probe(inverse_strength: float) -> Pipeline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    logistic = LogisticRegression(C=inverse_strength, max_iter=300)
    return make_pipeline(StandardScaler(), OneVsRestClassifier(logistic))


def _best_strength(features: np.ndarray, targets: np.ndarray) -> tuple[float, float]:
    """The C with the highest mean average precision in 3-fold cross-validation, and that precision."""
    from sklearn.metrics import average_precision_score

    found = {}
    for inverse_strength in INVERSE_STRENGTHS:
        probe = _multilabel_probe(inverse_strength)
        with warnings.catch_warnings():
            # A rare class may be in no image of a fold, or a frequent one in all; its score there is constant.
            warnings.filterwarnings(
                "ignore", "Label .* is present in all training examples", UserWarning
            )
            warnings.filterwarnings(
                "ignore", "Label not .* is present in all training examples", UserWarning
            )
            scores = _out_of_fold(probe, features, targets)
        found[inverse_strength] = float(average_precision_score(targets, scores, average="macro"))
    best = max(found, key=lambda strength: found[strength])
    return best, found[best]


def _out_of_fold(probe: Pipeline, features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Scores [N, T] from 3 folds. scikit-learn's ``cross_val_predict`` ends with an error where T is 1."""
    from sklearn.model_selection import KFold

    scores = np.zeros(targets.shape)
    for learned, held_out in KFold(3).split(features):
        probe.fit(features[learned], targets[learned])
        found = probe.decision_function(features[held_out])
        scores[held_out] = found.reshape(len(held_out), -1)
    return scores


def _weighted_map(truth: np.ndarray, scores: np.ndarray, weight: np.ndarray) -> Tensor:
    """Mean average precision where each test image counts as often as it was drawn; classes without a draw are out."""
    from sklearn.metrics import average_precision_score

    drawn = (truth * weight[:, None]).sum(axis=0) > 0
    if not drawn.any():
        return torch.tensor(torch.nan, dtype=torch.float64)
    value = average_precision_score(
        truth[:, drawn],
        scores[:, drawn],
        average="macro",
        sample_weight=weight,
    )
    return torch.tensor(value, dtype=torch.float64)


def _measure_regression(train: Known, test: Known, bootstrap_counts: Tensor) -> dict[str, Sampled]:
    """R^2 of a ridge regression, with its mean absolute error in the protocol; none where no number differs in test."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    varied = np.ptp(test.targets, axis=0) > 0
    if not varied.any():
        return {}
    train = Known(train.features, train.targets[:, varied])
    test = Known(test.features, test.targets[:, varied])
    ridge = RidgeCV(ALPHAS)
    probe = make_pipeline(StandardScaler(), ridge).fit(train.features, train.targets)
    predicted = probe.predict(test.features).reshape(test.targets.shape)
    predictions = torch.from_numpy(predicted).double()  # [N, T]
    truth = torch.from_numpy(test.targets).double()  # [N, T]
    all_once = torch.ones(1, len(truth), dtype=torch.float64)
    error = float(mean_absolute_error(truth, predictions, all_once))
    errors = percentiles(error, mean_absolute_error(truth, predictions, bootstrap_counts))
    protocol = {
        "alpha": float(np.asarray(ridge.alpha_)),
        "numbers": int(varied.sum()),
        "mean_absolute_error": error,
        "mean_absolute_error_interval": [errors.low, errors.high],
        "interval": INTERVAL,
    }
    value = float(r2(truth, predictions, all_once))
    samples = r2(truth, predictions, bootstrap_counts)
    return {"regression_r2": _sampled("regression_r2", value, samples, len(truth), protocol)}


def r2(truth: Tensor, predictions: Tensor, weights: Tensor) -> Tensor:
    """1 - squared error / squared deviation from the mean, averaged over the T numbers.

    Args:
        truth: float64 [N, T].
        predictions: float64 [N, T].
        weights: float64 [R, N], how often each image counts.

    Returns:
        float64 [R].
    """
    count = weights.sum(dim=1, keepdim=True)  # [R, 1]
    # Squares of numbers that lie far from 0 would leave nothing of their small differences.
    centred = truth - truth.mean(dim=0)
    mean = weights @ centred / count  # [R, T]
    deviation = weights @ centred.square() - count * mean.square()
    error = weights @ (truth - predictions).square()
    return (1 - error / deviation).mean(dim=1)


def mean_absolute_error(truth: Tensor, predictions: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute error over images and numbers; arguments as of `r2`."""
    errors = (truth - predictions).abs().mean(dim=1)  # [N]
    return weights @ errors / weights.sum(dim=1)


def _sampled(
    name: str,
    value: float,
    samples: Tensor,
    count: int,
    protocol: dict,
) -> Sampled:
    return Sampled(Score(name, *percentiles(value, samples), count, protocol), samples)


def _differences(samples: Mapping[str, Mapping[str, Sampled]]) -> list[ScoreDifference]:
    """The first encoder's scores minus those of each other, from the same bootstrap samples of test images."""
    first, *others = samples
    found = []
    for other in others:
        for name, first_score in samples[first].items():
            other_score = samples[other][name]
            difference = first_score.score.value - other_score.score.value
            interval = percentiles(difference, first_score.samples - other_score.samples)
            found.append(ScoreDifference(name, other, *interval))
    return found
