"""``likewise.evaluate``: any encoder, or any matrix of features, scored by the protocols of a run's final scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, get_args

import torch

from likewise.data.batch import UNLABELLED
from likewise.data.classes import class_counts
from likewise.data.columns.column_names import ColumnNames
from likewise.data.manifest import Manifest
from likewise.errors import LikewiseError, did_you_mean
from likewise.evaluation.evaluate_features import (
    FeatureSource,
    Targets,
    evaluate_features,
    group_numbers,
)
from likewise.evaluation.evaluation import Evaluation, EvaluationSettings
from likewise.evaluation.metrics.few_label import FewLabel
from likewise.evaluation.metrics.knn import Knn
from likewise.evaluation.metrics.linear_probe import LinearProbe
from likewise.evaluation.readable_splits import unread_note
from likewise.evaluation.scored_examples import open_examples, with_parts
from likewise.evaluation.subjects import (
    NetworkSubject,
    Subject,
    at_rows,
    fitted,
    read_network,
    source_of,
    subject_of,
)
from likewise.field_types import SEED, SIZE, Range, checked_arguments

Measure = Literal["knn", "linear", "few_label", "label_free"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

RESERVED = ("differences", "label_free", "calibration", "notes", "unread", "encoder")
"""Names that `Evaluation.to_json` uses itself, so that no baseline can have them."""


@checked_arguments(
    k=SIZE,
    image_size=Range(8, SIZE.high),
    channels=SIZE,
    batch_size=SIZE,
    seed=SEED,
)
def evaluate(
    encoder: Any,
    data: Any = None,
    labels: Any = None,
    test: Any = None,
    *,
    measures: Sequence[Measure] = MEASURES,
    baseline: Any = None,
    k: int = 20,
    few_labels: Sequence[int] = (2, 4, 10, 50),
    image_size: int | None = None,
    channels: int | None = None,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    seed: int = 0,
    pixel_range: tuple[float, float] | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
) -> Evaluation:
    """Score an encoder, or features, by nearest neighbours, linear probes and label-free measures.

    >>> likewise.evaluate(network, "photos/", labels="labels.csv", test=0.2)
    >>> likewise.evaluate(features, labels=targets, test=is_test)

    The protocols are those of a run's final scores; each score's ``protocol`` states them in full. Probes and
    neighbours learn from the training part and are measured on the test part. A validation part of the data is used
    for neither.

    Args:
        encoder: what to score. A network: any ``nn.Module``, or function, from float [B, C, H, W] in [0, 1] to
            features [B, D], or to a map [B, D, h, w], whose mean over locations is taken. A run, or its folder.
            Features: a matrix [N, D] (NumPy, tensor, `Vectors`, or the file of ``likewise embed``), or a pair of
            matrices (train, test).
        data: images, as for `likewise.train`. Features need none; with data, row i belongs to example i.
        labels: N classes, as numbers or names (-1, None or "" is unlabelled); of a pair of matrices, a pair. With
            data, also a CSV file of paths and labels, or nothing where the data have labels.
        test: what to measure on: a share of each class, between 0 and 1, drawn by ``seed``; or bool [N], True where an
            example belongs to the test part; or other data. None takes the test part that the data have, or holds a
            fifth out where they have none, as `likewise.train` does.
        measures: which to take, of ``knn``, ``linear``, ``few_label`` and ``label_free``.
        baseline: another encoder or matrix, or several by name. Each gets the same scores, and each score a paired
            difference with its 95% interval.
        k: neighbours that vote.
        few_labels: labels of each class, one linear probe score for each amount.
        image_size: pixels along a side of the images that a network is given; a run has its own.
        channels: colour channels of those images, for instance 3 for a colour network on grey images.
        batch_size: images encoded at a time.
        device: where to compute features; None leaves a network where it is.
        pixel_range: values of deep pixels that become black and white; None: as `likewise.train` finds them, and for a
            run always its own.
        path_column: the column of a CSV that holds the paths, by name, or by number from 1.
        label_column: the column of a CSV, a table or Parquet files that holds the labels.
        seed: of the held-out share, the labels drawn and the validation folds of the probes.

    Raises:
        LikewiseError: the data, labels or features cannot be used, with what to give instead.
    """
    settings = _settings(measures, k, few_labels, seed)
    _require_device(device)
    given = {"encoder": encoder, **_named(baseline)}
    subjects = {name: subject_of(each, image_size, channels) for name, each in given.items()}
    columns = ColumnNames(label_column, path=path_column)
    examples = open_examples(subjects["encoder"], data, labels, test, pixel_range, columns)
    manifest = with_parts(examples, test, seed, _needs_labels(settings))
    _require_classes(manifest, settings)
    subjects = {name: fitted(name, each, manifest) for name, each in subjects.items()}
    readable = _readable(subjects, manifest, batch_size, device)
    train, held_out = readable.manifest.split("train"), readable.manifest.split("test")
    test_targets = _targets(held_out) if len(held_out) else None
    found = evaluate_features(readable.sources, _targets(train), test_targets, settings)
    notes = (*found.notes, *unread_note(readable.unread))
    return replace(found, unread=readable.unread, notes=notes)


class _Readable(NamedTuple):
    """The examples whose images can be decoded."""

    manifest: Manifest
    sources: dict[str, FeatureSource]
    """by encoder: its features of those examples"""
    unread: dict[str, str]
    """ids of the others, each with the reason"""


def _readable(
    subjects: Mapping[str, Subject],
    manifest: Manifest,
    batch_size: int,
    device: torch.device | str | None,
) -> _Readable:
    """What can be scored: the first network decodes every image, and its features are kept."""
    networks = [name for name, subject in subjects.items() if isinstance(subject, NetworkSubject)]
    sources = dict[str, FeatureSource]()
    unread = dict[str, str]()
    if networks:
        read = read_network(subjects[networks[0]], manifest, batch_size, device)
        manifest = manifest.take(read.rows)
        unread = read.unread
        subjects = {name: at_rows(subject, read.rows) for name, subject in subjects.items()}
        sources[networks[0]] = read.features.__getitem__
    in_order = {}
    for name, subject in subjects.items():
        in_order[name] = sources.get(name) or source_of(subject, manifest, batch_size, device)
    return _Readable(manifest, in_order, unread)


def _settings(
    measures: Sequence[str], k: int, few_labels: Sequence[int], seed: int
) -> EvaluationSettings:
    for name in measures:
        if name not in MEASURES:
            raise LikewiseError(f"measures={name!r} was given. {did_you_mean(name, MEASURES)}")
    probe = LinearProbe(seed=seed)
    few_label = FewLabel(tuple(few_labels), seed=seed, probe=probe)
    return EvaluationSettings(
        knn=Knn(k) if "knn" in measures else None,
        linear=probe if "linear" in measures else None,
        few_label=few_label if "few_label" in measures else None,
        label_free="label_free" in measures,
    )


def _named(baseline: Any) -> Mapping[str, Any]:
    """Baselines by name."""
    if baseline is None:
        return {}
    if not isinstance(baseline, Mapping):
        return {"baseline": baseline}
    for name in baseline:
        if name in RESERVED:
            raise LikewiseError(
                f"baseline={{{name!r}: ...}} was given, but that name is taken. Choose another one."
            )
    return baseline


def _needs_labels(settings: EvaluationSettings) -> bool:
    """Whether a measure is requested that compares predictions with labels."""
    return bool(settings.knn or settings.linear or settings.few_label)


def _require_classes(manifest: Manifest, settings: EvaluationSettings) -> None:
    """Refuse labels that cannot be scored; without any label the label-free measures are still given."""
    if not manifest.labelled() or not _needs_labels(settings):
        return
    only = "Or give measures=['label_free'], which needs no labels."
    if not (manifest.split("test").labels != UNLABELLED).any():
        raise LikewiseError(
            f"No labelled example is in a test part, so no score can be given. Hold some out: test=0.2, or "
            f"test=mask, bool [N]. {only}"
        )
    classes = class_counts(manifest.split("train").labels)
    if len(classes) < 2:
        raise LikewiseError(
            f"Scores need training examples of two classes, and there are those of {len(classes)}. Give labels of a "
            f"second class, or another test part. {only}"
        )


def _targets(part: Manifest) -> Targets:
    return Targets(labels=part.labels, ids=part.ids, groups=group_numbers(part))


def _require_device(device: torch.device | str | None) -> None:
    """Refuse a device that PyTorch does not know or see."""
    if device is None:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise LikewiseError(
            f"device={str(device)!r} was given, but PyTorch cannot compute there: {str(error).splitlines()[0]} "
            f"Give device='cpu', or leave device out."
        ) from None
