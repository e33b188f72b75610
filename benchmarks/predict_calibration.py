"""Whether predicted probabilities mean what they say: calibration and precision from 20 to 500 labels, over draws.

python benchmarks/predict_calibration.py cifar10-test.parquet fashion-mnist --cache /tmp/features

Images are encoded once by the pretrained EfficientNet-Lite0 at 128 pixels. In each draw a few labels are shown, a head
and its temperature are fitted, thresholds are chosen for three precisions, and all other images are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple
from unittest import mock

import torch
import tyro
from measuring import Claim, Table, keep
from torch import Tensor

from likewise.classification import fit_head, fit_temperature, head
from likewise.classification.selective import choose_threshold
from likewise.classification.temperature import confidences
from likewise.data.open_images import default_channels, open_images
from likewise.data.sources.open import open_manifest
from likewise.encoders import build_encoder, choose_encoder
from likewise.evaluation.features import extract
from likewise.evaluation.metrics.calibration import calibration
from likewise.evaluation.statistics.confidence import wilson
from likewise.randomness import generator
from likewise.views.centre_view import CentreView

SIZE = 128

PRECISE = (0.8, 0.9, 0.95)

VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "each feature at its own scale": {"SHARED_ROWS": 0},
    "5 folds, once": {"FOLDS": 5, "REPEATS": 1},
    "the norm of the final fit": {"_norms": lambda weights: torch.ones(len(weights))},
}
"""what of `likewise.classification.head` is replaced in each variant"""


@dataclass(frozen=True)
class Settings:
    """Which data, and how many draws."""

    data: tyro.conf.Positional[tuple[str, ...]]
    """files or named sets with labels"""
    cache: Path = Path("features")
    """folder where features are kept"""
    images: int = 4000
    """images of each set, at random"""
    labels: tuple[int, ...] = (20, 50, 100, 200, 500)
    """labels shown, the same number of each class"""
    draws: int = 20
    """draws of the labels"""


class Embedded(NamedTuple):
    """Features of a set, with labels."""

    name: str
    features: Tensor
    labels: Tensor
    classes: int


class Draw(NamedTuple):
    """What came of one draw of labels."""

    accuracy: float
    calibration_error: float
    temperature: float
    sure: dict[float, tuple[int, int]]
    """by precision: the predictions that are sure, and how many of those are correct"""
    predicted: int


def embedded(source: str, settings: Settings) -> Embedded:
    """The features of a set, from the cache if they are there."""
    path = settings.cache / f"{Path(source).stem}-{settings.images}.pt"
    if not path.exists():
        settings.cache.mkdir(parents=True, exist_ok=True)
        manifest = open_manifest(source)
        some = (
            torch.randperm(len(manifest), generator=torch.Generator().manual_seed(0))[
                : settings.images
            ]
            .sort()
            .values
        )
        manifest = manifest.take(some)
        channels = default_channels(manifest)
        chosen = choose_encoder(
            "auto", SIZE, (0.5,) * channels, (0.5,) * channels, pretrained="lite0"
        )
        images = open_images(manifest, SIZE, channels)
        features = extract(
            build_encoder(chosen), images, torch.arange(len(manifest)), CentreView(SIZE), 128
        )
        torch.save(
            {"features": features, "labels": manifest.labels, "classes": manifest.classes}, path
        )
    stored = torch.load(path)
    return Embedded(Path(source).stem, stored["features"], stored["labels"], stored["classes"])


def draw(data: Embedded, labels: int, seed: int) -> Draw:
    """Show some labels, and predict all other images."""
    order = torch.randperm(len(data.labels), generator=generator(seed, "draw"))
    each = labels // data.classes
    shown = torch.cat([order[data.labels[order] == label][:each] for label in range(data.classes)])
    hidden = torch.ones(len(order), dtype=torch.bool).index_fill(0, shown, False)
    known, true = data.labels[shown], data.labels[hidden]
    fitted = fit_head(data.features[shown], known, data.classes, seed)
    temperature = fit_temperature(fitted.out_of_fold_logits, known)
    confidence, predicted = confidences(fitted.head(data.features[hidden]), temperature)
    right = predicted == true
    held_out, answer = confidences(fitted.out_of_fold_logits, temperature)
    sure = {}
    for precise in PRECISE:
        above = confidence >= choose_threshold(held_out, answer == known, precise).value
        sure[precise] = int(above.sum()), int(right[above].sum())
    error = calibration(confidence, right).error
    return Draw(float(right.double().mean()), error, temperature, sure, len(true))


def precision_holds(draws: list[Draw], precise: float) -> int:
    """In how many draws the precision, or its 95% interval, reaches the stated one; also where nothing is sure."""
    held = 0
    for each in draws:
        sure, correct = each.sure[precise]
        held += not sure or wilson(correct / sure, sure).high >= precise
    return held


def row(name: str, labels: int, draws: list[Draw]) -> list[str]:
    """One line of the first table."""
    cells = [name, str(labels)]
    cells += [
        f"{fmean(each.accuracy for each in draws):.3f}",
        f"{fmean(each.calibration_error for each in draws):.3f}",
    ]
    for precise in PRECISE:
        share = fmean(each.sure[precise][0] / each.predicted for each in draws)
        sure, correct = (sum(each.sure[precise][i] for each in draws) for i in (0, 1))
        precision = f"{correct / sure:.3f}" if sure else "-"
        cells.append(
            f"{share:.0%} sure, {precision} correct, {precision_holds(draws, precise)} of {len(draws)}"
        )
    return cells


def main(settings: Settings) -> None:
    """Measure, print and keep."""
    sets = [embedded(source, settings) for source in settings.data]
    outcomes = {
        (data.name, labels): [draw(data, labels, seed) for seed in range(settings.draws)]
        for data in sets
        for labels in settings.labels
    }
    head_line = [
        "data",
        "labels",
        "accuracy",
        "calibration error",
        *(f"precise {precise:g}" for precise in PRECISE),
    ]
    measured = Table("Calibration and precision", head_line)
    measured.rows += [row(*key, draws) for key, draws in outcomes.items()]
    measured.notes.append(
        "means over draws; last numbers: draws whose precision, or its 95% interval, reaches the goal"
    )
    keep(
        "predict_calibration",
        "Predicted probabilities",
        [measured, variants(sets, settings)],
        claims(outcomes, settings.draws),
        encoder="timm/tf_efficientnet_lite0, pretrained",
        draws=settings.draws,
    )


def variants(sets: list[Embedded], settings: Settings) -> Table:
    """The calibration error and the accuracy without each of the things that make few labels work."""
    table = Table(
        "Calibration error (accuracy), by how the head is fitted", ["data", "labels", *VARIANTS]
    )
    for data in sets:
        for labels in settings.labels:
            cells = [data.name, str(labels)]
            for replaced in VARIANTS.values():
                draws = [
                    draw_with(replaced, data, labels, seed) for seed in range(settings.draws // 4)
                ]
                error, accuracy = (
                    fmean(each.calibration_error for each in draws),
                    fmean(each.accuracy for each in draws),
                )
                cells.append(f"{error:.3f} ({accuracy:.3f})")
            table.rows.append(cells)
    table.notes.append(f"means over {settings.draws // 4} draws")
    return table


def draw_with(replaced: Mapping[str, Any], data: Embedded, labels: int, seed: int) -> Draw:
    """A draw with parts of the head's module replaced."""
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(mock.patch.object(head, name, value))
        return draw(data, labels, seed)


def claims(outcomes: Mapping[tuple[str, int], list[Draw]], draws: int) -> list[Claim]:
    """The goals."""
    found = []
    for (name, labels), each in outcomes.items():
        if labels >= 200:
            error = fmean(one.calibration_error for one in each)
            found.append(
                Claim(
                    f"{name}, {labels} labels: calibration error under 0.03",
                    0.03,
                    error,
                    at_least=False,
                )
            )
        for precise in PRECISE:
            held, wanted = precision_holds(each, precise), round(0.9 * draws)
            claim = f"{name}, {labels} labels: a precision of {precise:g} holds in {wanted} of {draws} draws"
            found.append(Claim(claim, wanted, held))
    return found


if __name__ == "__main__":
    main(tyro.cli(Settings))
